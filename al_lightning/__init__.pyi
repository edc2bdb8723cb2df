"""The public names, each written once: ``__init__.py`` imports a name from here when it is first used."""

from al_lightning.data import (
    Arrays as Arrays,
    DataModuleAdapter as DataModuleAdapter,
    DatasetPool as DatasetPool,
    Datasets as Datasets,
    Digits as Digits,
    FashionMNIST as FashionMNIST,
    Features as Features,
    ImageFolder as ImageFolder,
    NumpyFiles as NumpyFiles,
    PlantedFashionMNIST as PlantedFashionMNIST,
    PoolDataModule as PoolDataModule,
    Texts as Texts,
    Torchvision as Torchvision,
)
from al_lightning.data.augmentations import (
    RandomShift as RandomShift,
)
from al_lightning.data.blocks import (
    TensorBlocks as TensorBlocks,
)
from al_lightning.errors import (
    InputError as InputError,
    Interrupted as Interrupted,
)
from al_lightning.fitting.convergence import (
    Convergence as Convergence,
)
from al_lightning.inference import (
    PoolPredictor as PoolPredictor,
    Predictions as Predictions,
)
from al_lightning.labeling import (
    FileOracle as FileOracle,
    LabelStudioOracle as LabelStudioOracle,
    Oracle as Oracle,
    SimulatedOracle as SimulatedOracle,
)
from al_lightning.loop import (
    ActiveLearningLoop as ActiveLearningLoop,
)
from al_lightning.models import (
    Backbone as Backbone,
    Classifier as Classifier,
    DropoutHead as DropoutHead,
    DropoutMLP as DropoutMLP,
    Ensemble as Ensemble,
    LinearProbe as LinearProbe,
    MixMatch as MixMatch,
    MonteCarloMLP as MonteCarloMLP,
    PretrainedMLP as PretrainedMLP,
    SentenceEncoder as SentenceEncoder,
    SimCLR as SimCLR,
)
from al_lightning.models.logistic_regression import (
    auto_weight_decay as auto_weight_decay,
    fit_logistic_regression as fit_logistic_regression,
)
from al_lightning.strategies import (
    BADGE as BADGE,
    BAIT as BAIT,
    BALD as BALD,
    EPIG as EPIG,
    ALFAMix as ALFAMix,
    BatchBALD as BatchBALD,
    ClusterMargin as ClusterMargin,
    Consistency as Consistency,
    CoreSet as CoreSet,
    DropQuery as DropQuery,
    Entropy as Entropy,
    KMeans as KMeans,
    LeastConfidence as LeastConfidence,
    Margin as Margin,
    MaxHerding as MaxHerding,
    ProbCover as ProbCover,
    QueryStrategy as QueryStrategy,
    Random as Random,
    Replay as Replay,
    ScoreStrategy as ScoreStrategy,
    Stochastic as Stochastic,
    Switch as Switch,
    TypiClust as TypiClust,
    UHerding as UHerding,
    VariationRatio as VariationRatio,
)
from al_lightning.strategies.alfa_mix import (
    alfa_mix_query as alfa_mix_query,
)
from al_lightning.strategies.badge import (
    badge_query as badge_query,
)
from al_lightning.strategies.bait import (
    bait_query as bait_query,
)
from al_lightning.strategies.bald import (
    bald_score as bald_score,
)
from al_lightning.strategies.base import (
    top_k as top_k,
)
from al_lightning.strategies.batch_bald import (
    batch_bald_query as batch_bald_query,
)
from al_lightning.strategies.cluster_margin import (
    cluster_margin_query as cluster_margin_query,
)
from al_lightning.strategies.consistency import (
    consistency_score as consistency_score,
)
from al_lightning.strategies.core_set import (
    k_center_greedy as k_center_greedy,
)
from al_lightning.strategies.drop_query import (
    drop_query as drop_query,
)
from al_lightning.strategies.entropy import (
    entropy_score as entropy_score,
)
from al_lightning.strategies.epig import (
    epig_score as epig_score,
)
from al_lightning.strategies.kmeans import (
    kmeans_query as kmeans_query,
)
from al_lightning.strategies.least_confidence import (
    least_confidence_score as least_confidence_score,
)
from al_lightning.strategies.margin import (
    margin_score as margin_score,
)
from al_lightning.strategies.max_herding import (
    max_herding as max_herding,
)
from al_lightning.strategies.prob_cover import (
    prob_cover_query as prob_cover_query,
    purity_radius as purity_radius,
)
from al_lightning.strategies.stochastic import (
    stochastic_top_k as stochastic_top_k,
)
from al_lightning.strategies.typi_clust import (
    typiclust_query as typiclust_query,
)
from al_lightning.strategies.uherding import (
    uherding_query as uherding_query,
)
from al_lightning.strategies.variation_ratio import (
    variation_ratio as variation_ratio,
)
from al_lightning.version import __version__ as __version__
