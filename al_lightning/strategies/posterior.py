"""JointSamples: T models of one query, which all samples of the pool share."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor, Predictions
from al_lightning.inference.laplace import LaplacePosterior, check_prior_precision

Posterior = Literal["laplace"]
"""Where samples of the model come from, if not from dropout or from the model itself. ``laplace`` draws the last layer
from its Laplace approximation: see :class:`~al_lightning.inference.laplace.LaplacePosterior`."""

BLOCK_VALUES = 2**18  # logits of all heads that are held at a time, so that they fit a core's cache
MIN_ROWS = 16


class JointSamples:
    """Logits of T models. Model t is the same for the whole pool, the targets and the labeled samples.

    Args:
        name: Name of the strategy, for messages.
        num_samples: Number of models, T, at least 2.
        posterior: Where the models come from. None for dropout, or for ``sample_logits`` of the model.
        prior_precision: Of the Laplace approximation; by marginal likelihood if not given.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self, name: str, num_samples: int, posterior: Posterior | None = None, prior_precision: float | None = None
    ) -> None:
        if num_samples < 2:
            raise InputError(f"Expected `num_samples` of {name} to be at least 2, but got {num_samples}.")
        if posterior not in (None, "laplace"):
            raise InputError(f"Expected `posterior` of {name} to be null or laplace, but got {posterior!r}.")
        check_prior_precision(prior_precision)
        if prior_precision is not None and posterior is None:
            raise InputError(f"Expected `posterior` of {name} to be laplace with a `prior_precision`, but got null.")
        self._name = name
        self._num_samples = num_samples
        self._posterior = posterior
        self._prior_precision = prior_precision

    def prepare(self, pool: PoolPredictor, draw: int = 0) -> None:
        """Draws the models of a query, if the posterior needs the labeled samples for it. Once is enough.

        Args:
            pool: The pool, which keeps the models.
            draw: Another number makes other models.

        Raises:
            InputError: If the posterior is ``laplace`` and the model has no linear last layer.
        """
        if self._posterior is None:
            return
        posterior = pool.draw(("laplace", self._prior_precision), lambda _: self._laplace(pool), "masks")
        pool.draw(self._key(draw), lambda generator: posterior.draw(self._num_samples, generator), "masks")

    def map(self, batch: Predictions, fn: Callable[[Tensor], Tensor], draw: int = 0) -> Tensor:
        """Applies ``fn`` to the logits of the models, a few rows at a time, and concatenates the results.

        Args:
            batch: A block of samples.
            fn: Takes logits, float32, shape ``(b, T, C)``, returns a tensor of shape ``(b, ...)``.
            draw: As given to :meth:`prepare`.
        """
        if self._posterior is None:
            return batch.mc_map(fn, self._num_samples, draw)
        heads: Tensor = batch.draw(self._key(draw), self._unprepared, "masks")
        embeddings = batch.embeddings
        weight = heads[:, :, :-1].flatten(0, 1).to(embeddings)  # (T C, D)
        bias = heads[:, :, -1].reshape(-1, 1).to(embeddings)
        parts = []
        for rows in embeddings.split(max(MIN_ROWS, BLOCK_VALUES // len(weight))):
            logits = torch.addmm(bias, weight, rows.T)  # (T C, b): operations run over long vectors
            parts.append(fn(logits.view(*heads.shape[:2], len(rows)).permute(2, 0, 1)))
        return torch.cat(parts)

    def _laplace(self, pool: PoolPredictor) -> LaplacePosterior:
        head = pool.linear_head()
        labeled = pool.labeled_embeddings() if pool.num_labeled else torch.empty(0)
        return LaplacePosterior(head, labeled, self._prior_precision)

    def _key(self, draw: int) -> tuple[str, float | None, int, int]:
        return "heads", self._prior_precision, self._num_samples, draw

    def _unprepared(self, generator: torch.Generator) -> Tensor:
        raise InputError(
            f"Expected `scores` or `query` of {self._name} to be called with `posterior` laplace, which needs the "
            "labeled samples, but got `score` of one block."
        )
