"""EPIG: query what tells most about the predictions for target inputs."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.data.blocks import TensorBlocks
from al_lightning.errors import InputError
from al_lightning.inference import Blocks, PoolPredictor, Predictions
from al_lightning.inference.blocks import ChosenBlocks
from al_lightning.strategies.base import Answer, ScoreStrategy, check_finite, top_k
from al_lightning.strategies.posterior import JointSamples, Posterior

JOINT_VALUES = 2**20
"""Joint probabilities that are held at a time. With their logarithms they take 8 MiB, which a cache has."""
ONE_CORE = 2  # threads of torch that are no faster than NumPy's logarithm on one core with AVX
LEAST_PROB = 1e-18  # 0 log 0 = 0; a product of two is still a normal float32


def epig_score(mc_log_probs: ArrayLike, target_mc_log_probs: ArrayLike) -> Tensor:
    r"""Expected predictive information gain: mutual information of a label and the labels of targets, in nats.

    .. math::
        \frac1{N_*} \sum_{x_*} H(y) + H(y_*) - H(y, y_*), \quad
        p(y, y_*) = \frac1T \sum_t p_t(y)\, p_t(y_*)

    Both labels depend on the same T models. So a label that tells models apart counts only as far as the targets depend
    on which model is true. One matrix product makes the joint probabilities of a few rows and all targets at a time.

    Args:
        mc_log_probs: Log-probabilities of T Monte Carlo samples of the model, or logits, shape ``(N, T, C)``.
        target_mc_log_probs: The same of the targets, shape ``(N*, T, C)``. Sample t is of the same model in both.

    Returns:
        Shape ``(N,)``. At least 0. At most the BALD score of the row, and at most the mean BALD score of the targets.

    Raises:
        InputError: If the shapes do not go together, there is no target, or a target's value is not finite.

    Example:
        >>> sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # of class 0 or 1
        >>> a, b = sure[[0, 0, 1, 1]], sure[[0, 1, 0, 1]]  # four models: a tells the first bit, b the second
        >>> epig_score(torch.stack([a, b]).log(), a[None].log())  # the target depends on the first
        tensor([0.6931, 0.0000])
    """
    logits = as_floats(mc_log_probs, "log-probabilities", "(N, T, C)").detach()
    target_logits = as_floats(target_mc_log_probs, "log-probabilities of targets", "(N*, T, C)").detach()
    if logits.shape[1:] != target_logits.shape[1:] or len(target_logits) == 0:
        raise InputError(
            f"Expected log-probabilities of at least one target, of as many samples and classes as the pool's, (N*, "
            f"{logits.shape[1]}, {logits.shape[2]}), but got {tuple(target_logits.shape)}."
        )
    check_finite(target_logits.clamp(min=-1e4), "log-probabilities of targets")  # minus infinity is a probability of 0
    return _Targets(target_logits).score(logits)


class _Targets:
    """The targets' part of the score, made once for all blocks of the pool.

    Args:
        logits: Shape ``(N*, T, C)``.
    """

    def __init__(self, logits: Tensor) -> None:
        probs = _probs(logits)  # (T, C, N*)
        self._entropy = _entropy(probs.mean(dim=0)).mean()
        # products of all class pairs with a target, a few targets at a time if there are many classes
        size = max(1, JOINT_VALUES // logits.shape[2] ** 2)
        self._parts = [part.flatten(1) for part in probs.split(size, dim=2)]  # (T, C n*) each

    def score(self, logits: Tensor) -> Tensor:
        """The score of rows with logits ``(N, T, C)``, shape ``(N,)``."""
        num_samples, num_classes = logits.shape[1:]
        num_targets = sum(part.shape[1] for part in self._parts) // num_classes
        size = max(1, JOINT_VALUES // (num_classes * self._parts[0].shape[1]))
        width = self._parts[0].shape[1]
        buffers = logits.new_empty(2, num_classes * min(size, len(logits)), width)  # new memory costs more than a log
        scores = []
        for rows in logits.split(size):
            probs = _probs(rows)  # (T, C, n)
            flat = probs.flatten(1).T / num_samples  # (C n, T)
            joint_entropy = logits.new_zeros(len(flat))
            for part in self._parts:
                joint, logs = (one[: len(flat), : part.shape[1]] for one in buffers)  # (C n, C n*)
                torch.mm(flat, part.to(flat), out=joint)
                _log(joint, logs)
                joint_entropy -= logs.mul_(joint).sum(dim=1)
            joint_entropy = joint_entropy.view(num_classes, -1).sum(dim=0) / num_targets
            scores.append(_entropy(probs.mean(dim=0)) + self._entropy.to(flat) - joint_entropy)
        # rounding can leave -1e-7 where the samples agree
        return torch.cat(scores).clamp(min=0) if scores else logits.new_zeros(0)


def _log(values: Tensor, out: Tensor) -> None:
    """Writes logarithms of values to another tensor."""
    if values.device.type == "cpu" and torch.get_num_threads() <= ONE_CORE:
        np.log(values.numpy(), out=out.numpy())
    else:
        torch.log(values, out=out)


def _probs(logits: Tensor) -> Tensor:
    """Probabilities, shape ``(T, C, n)``: the order in memory in which samples come, with long vectors."""
    return logits.permute(1, 2, 0).softmax(dim=1).clamp(min=LEAST_PROB)


def _entropy(probs: Tensor) -> Tensor:
    """Entropies of distributions ``(C, n)``, shape ``(n,)``."""
    return -(probs * probs.log()).sum(dim=0)


class EPIG(ScoreStrategy):
    """Queries the samples whose labels tell most about the predictions for targets.

    BALD asks what tells most about the weights. EPIG asks only about what matters for the targets, so that a sample
    unlike all targets has a low score. The Monte Carlo samples are as in :class:`~al_lightning.strategies.BALD`, and
    the pool shares them with the targets.

    Args:
        num_samples: Number of samples of the model, T, at least 2.
        num_targets: Number of targets, at least 1. If there are more, a part is drawn at random for each query.
        targets: The inputs whose predictions matter. ``pool``: unlabeled samples. ``test``: inputs of the test set,
            without labels; the test score is then of a transductive experiment. Any other text is the path of an .npy
            file of inputs as the model takes them, shape ``(N*, ...)``.
        posterior: See :class:`~al_lightning.strategies.BALD`.
        prior_precision: See :class:`~al_lightning.strategies.BALD`.

    Raises:
        InputError: If an argument is out of range. When queried, if there is no test set or no such file.

    Reference:
        Bickford Smith, Kirsch, Farquhar, Gal, Foster and Rainforth, "Prediction-Oriented Bayesian Active Learning",
        AISTATS 2023.
    """

    def __init__(
        self,
        num_samples: int = 20,
        num_targets: int = 100,
        targets: Literal["pool", "test"] | str = "pool",
        posterior: Posterior | None = None,
        prior_precision: float | None = None,
    ) -> None:
        if num_targets < 1:
            raise InputError(f"Expected `num_targets` of EPIG to be at least 1, but got {num_targets}.")
        self._samples = JointSamples("EPIG", num_samples, posterior, prior_precision)
        self.num_samples = num_samples
        self.num_targets = num_targets
        self.targets = targets
        self.posterior = posterior
        self.prior_precision = prior_precision

    def rank(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Answer:
        scores = self.scores(pool, generator)
        return Answer(top_k(scores, query_size), scores)

    def scores(self, pool: PoolPredictor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the acquisition scores of the whole pool, float, shape ``(N,)``.

        Args:
            pool: The pool.
            generator: Draws the targets. By default the pool draws them, once a query.

        Raises:
            InputError: If the model has no samples, or there are no targets.
        """
        self._samples.prepare(pool)
        logits = pool.map(
            lambda batch: self._samples.map(batch, lambda logits: logits), over=self._target_blocks(pool, generator)
        )
        if self.targets == "pool" and not logits.isfinite().all():  # the message is about the pool
            check_finite(pool.map(lambda batch: batch.logits), "logits")
        check_finite(logits, "logits of targets")
        targets = _Targets(logits)
        return pool.map(lambda batch: self._samples.map(batch, targets.score))

    def score(self, batch: Predictions) -> Tensor:
        raise InputError("Expected `scores` or `query` of EPIG to be called, but got `score`, which knows no targets.")

    def _target_blocks(self, pool: PoolPredictor, generator: torch.Generator | None) -> Blocks:
        """The inputs of the targets."""
        if self.targets == "pool":
            return pool.blocks_at(self._positions(pool, len(pool), generator))
        if self.targets == "test":
            if pool.known.test_blocks is None:
                raise InputError(
                    "Expected `known` of PoolPredictor to have `test_blocks` for `targets` test of EPIG, but got none."
                )
            blocks = pool.known.test_blocks()
            return ChosenBlocks(blocks, self._positions(pool, len(blocks), generator))
        try:
            inputs = np.load(self.targets, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"Expected `targets` of EPIG to be pool, test or an .npy file of inputs, but got {self.targets}: "
                f"{getattr(error, 'strerror', None) or error}."
            ) from error
        if not isinstance(inputs, np.ndarray) or inputs.ndim == 0:
            raise InputError(f"Expected `targets` of EPIG to be inputs in one array, but {self.targets} holds none.")
        return TensorBlocks(np.array(inputs[self._positions(pool, len(inputs), generator).numpy()]))

    def _positions(self, pool: PoolPredictor, size: int, generator: torch.Generator | None) -> Tensor:
        """Draws which of so many inputs are targets; returns ascending positions."""
        if size == 0:
            raise InputError(f"Expected at least one target of EPIG, but `targets` {self.targets} has none.")

        def drawn(generator: torch.Generator) -> Tensor:
            return torch.randperm(size, generator=generator)[: self.num_targets].sort().values

        if size <= self.num_targets:
            return torch.arange(size)
        return pool.draw(("EPIG targets", size), drawn) if generator is None else drawn(generator)
