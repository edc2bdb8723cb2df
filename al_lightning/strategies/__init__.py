"""Query strategies: one file for each, with functions on tensors and a thin class that gets their arguments."""

from al_lightning.strategies.alfa_mix import ALFAMix
from al_lightning.strategies.badge import BADGE
from al_lightning.strategies.bait import BAIT
from al_lightning.strategies.bald import BALD
from al_lightning.strategies.base import QueryStrategy, ScoreStrategy
from al_lightning.strategies.batch_bald import BatchBALD
from al_lightning.strategies.cluster_margin import ClusterMargin
from al_lightning.strategies.consistency import Consistency
from al_lightning.strategies.core_set import CoreSet
from al_lightning.strategies.drop_query import DropQuery
from al_lightning.strategies.entropy import Entropy
from al_lightning.strategies.epig import EPIG
from al_lightning.strategies.kmeans import KMeans
from al_lightning.strategies.least_confidence import LeastConfidence
from al_lightning.strategies.margin import Margin
from al_lightning.strategies.max_herding import MaxHerding
from al_lightning.strategies.prob_cover import ProbCover
from al_lightning.strategies.random_sampling import Random
from al_lightning.strategies.replay import Replay
from al_lightning.strategies.stochastic import Stochastic
from al_lightning.strategies.switch import Switch
from al_lightning.strategies.typi_clust import TypiClust
from al_lightning.strategies.uherding import UHerding
from al_lightning.strategies.variation_ratio import VariationRatio

__all__ = [
    "BADGE",
    "BAIT",
    "BALD",
    "EPIG",
    "ALFAMix",
    "BatchBALD",
    "ClusterMargin",
    "Consistency",
    "CoreSet",
    "DropQuery",
    "Entropy",
    "KMeans",
    "LeastConfidence",
    "Margin",
    "MaxHerding",
    "ProbCover",
    "QueryStrategy",
    "Random",
    "Replay",
    "ScoreStrategy",
    "Stochastic",
    "Switch",
    "TypiClust",
    "UHerding",
    "VariationRatio",
]
