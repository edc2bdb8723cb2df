"""How a trainer's model is asked about samples: in its precision, on its device, with the streams of a round."""

import lightning.pytorch as L

from al_lightning.data.inputs import map_tensors
from al_lightning.inference.predictor import Blocks, PoolPredictor, Shards
from al_lightning.random_streams import stream


def make_predictor(
    trainer: L.Trainer,
    model: L.LightningModule,
    pool: Blocks,
    labeled: Blocks,
    seed: int = 0,
    round: int = 0,
    shards: Shards | None = None,
) -> PoolPredictor:
    """Makes a predictor of a model that is on the trainer's device.

    Args:
        trainer: Its precision is that of the embeddings.
        model: The model.
        pool: See :class:`~al_lightning.inference.PoolPredictor`.
        labeled: Likewise.
        seed: Of the experiment, for dropout masks and augmentations.
        round: The round they are of.
        shards: See :class:`~al_lightning.inference.PoolPredictor`.
    """
    plugin = trainer.precision_plugin
    return PoolPredictor(
        model,
        pool,
        labeled,
        mask_generator=stream(seed, "masks", round),
        view_generator=stream(seed, "views", round),
        precision=plugin.forward_context,
        transfer=lambda block: plugin.convert_input(map_tensors(lambda tensor: tensor.to(model.device), block)),
        shards=shards,
    )
