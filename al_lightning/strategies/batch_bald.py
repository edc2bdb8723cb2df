"""BatchBALD: query samples that together tell most about the model."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.bald import bald_score
from al_lightning.strategies.base import QueryStrategy, check_finite, check_generator, check_query_size
from al_lightning.strategies.posterior import JointSamples, Posterior

FIRST_CANDIDATES = 1024  # rows of highest BALD whose samples are held; twice as many whenever another may win
BLOCK_ROWS = 64  # candidates between two looks at who can still win
BLOCK_VALUES = 2**20  # predictions of candidates under all answers that are held at a time
SCORE_ROWS = 4096
LEAST_LOG_PROB = -1e4  # 0 log 0 = 0, but 0 * -inf is NaN
ROUNDING = 1e-5  # by which a BALD score in float32 may be too low
TIE = 1e-9
TINY = 1e-300  # 0 log 0 = 0
SPENT = 1e-3  # of log T: a gain below it is the noise of T samples
DEVIATIONS = 4  # by which an estimate may be too low


def batch_bald_query(
    mc_log_probs: ArrayLike,
    query_size: int,
    num_configurations: int = 2_000,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Chooses rows one after the other, each with the most information about the model, given the rows before.

    .. math:: I(y; w \mid y_S) = E_{y_S} \Big[ H\Big(\sum_t r_t p_t\Big) - \sum_t r_t H(p_t) \Big], \quad
        r_t \propto \prod_{s \in S} p_t(y_s)

    The sum of these gains is the joint mutual information of BatchBALD. The answers :math:`y_S` are all there are, as
    long as :math:`C^{|S|}` is at most ``num_configurations``; the result is then exact. Later, answers are drawn, as
    many under each of the T models. Likelihoods are float64 logarithms.

    Drawn answers leave the gain unbiased, because the mean of :math:`r_t` over them is 1/T. The paper subtracts the
    mean of :math:`H(p_t)`, which is the expectation of :math:`\sum_t r_t H(p_t)`. Here both terms of a gain are of the
    same answers, so that no drawn answer tells less than 0 nats.

    A gain is never above the row's BALD score, nor above its gain at an earlier pick. So only rows that can still win
    are looked at. Drawn answers make a gain uncertain; its bound is then four standard errors higher.

    T samples of the model tell log T nats at most. If no gain is above a thousandth of log T, the rest of the query are
    the rows of highest BALD score. One sentence warns if this is because T is spent.

    Args:
        mc_log_probs: Log-probabilities of T Monte Carlo samples of the model, or logits, shape ``(N, T, C)``. Sample t
            is of the same model in all rows.
        query_size: Number of rows to choose, b, 0 to N.
        num_configurations: Number of answers to the rows chosen so far, at least 1.
        generator: CPU generator of the drawn answers; torch's global one if not given.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order chosen. Ties go to the lowest row.

    Raises:
        InputError: If ``query_size`` is larger than N, or a value is not finite.

    Example:
        >>> bit = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> first, second = bit[[0, 0, 1, 1]], 0.8 * bit[[0, 1, 0, 1]] + 0.1  # of four models; the second is noisy
        >>> batch_bald_query(torch.stack([first, first, second]).log(), 2)
        tensor([0, 2])
    """
    logits = as_floats(mc_log_probs, "log-probabilities", "(N, T, C)").detach().cpu()
    check_query_size(query_size, len(logits))
    check_generator(generator)
    _check_configurations(num_configurations)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    scores = torch.cat([bald_score(rows) for rows in logits.split(SCORE_ROWS)])
    return _choose(scores, lambda rows: logits[rows], query_size, num_configurations, generator)


def _check_configurations(num_configurations: int) -> None:
    if num_configurations < 1:
        raise InputError(f"Expected `num_configurations` of BatchBALD to be at least 1, but got {num_configurations}.")


def _choose(
    scores: Tensor,
    logits_at: Callable[[Tensor], Tensor],
    query_size: int,
    num_configurations: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Chooses rows by lazy greedy.

    Args:
        scores: BALD scores, shape ``(N,)``.
        logits_at: Returns logits ``(K, T, C)`` of ascending rows ``(K,)``.
        query_size: Number of rows.
        num_configurations: Number of answers.
        generator: Of the drawn answers.
    """
    check_finite(scores, "BALD scores")
    candidates = _Candidates(scores.double(), logits_at)
    answers = _Answers(candidates.log_probs.shape[1], num_configurations, generator)
    chosen: list[int] = []
    while len(chosen) < query_size:
        best = candidates.best(answers)
        if best is None:
            if answers.are_spent:
                warnings.warn(  # the same text each round, so that Python says it once a run
                    f"BatchBALD chooses the rest of its query by BALD: with T = {answers.num_models} samples of the "
                    f"model, a query tells at most log T = {math.log(answers.num_models):.2f} nats, which are spent.",
                    stacklevel=3,
                )
            break
        chosen.append(int(candidates.rows[best]))
        answers.add(candidates.log_probs[best].double())
        candidates.take(best)
    taken = torch.tensor(chosen, dtype=torch.int64)
    order = scores.argsort(descending=True, stable=True)
    rest = order[~torch.isin(order, taken)]
    return torch.cat([taken, rest[: query_size - len(chosen)]])


class _Answers:
    """Answers to the rows chosen so far, and what each of them says about the T models.

    Args:
        num_models: T.
        most: Number of answers up to which all there are count.
        generator: Draws answers when there are more.
    """

    def __init__(self, num_models: int, most: int, generator: torch.Generator | None) -> None:
        self.num_models = num_models
        self._most = most
        self._generator = generator
        self._log_likelihoods = torch.zeros(1, num_models, dtype=torch.float64)  # of the answers, by model: (M, T)
        self._models: Tensor | None = None  # that answers were drawn under, (M,)
        self._chosen: list[Tensor] = []
        self._update()

    def _update(self) -> None:
        self._posterior = self._log_likelihoods.softmax(dim=1)  # r, (M, T)
        if self._models is None:
            self._weights = self._log_likelihoods.logsumexp(dim=1).exp() / self.num_models
        else:
            self._weights = torch.full((len(self._posterior),), 1 / len(self._posterior), dtype=torch.float64)

    @property
    def are_drawn(self) -> bool:
        """Whether the answers are a sample of all there are."""
        return self._models is not None

    @property
    def are_spent(self) -> bool:
        """Whether the answers leave less than a tenth of the uncertainty about which model is true."""
        left = self._weights @ torch.special.entr(self._posterior).sum(dim=1)
        return float(left) < 0.1 * math.log(self.num_models)

    def add(self, log_probs: Tensor) -> None:
        """Adds a row with log-probabilities ``(T, C)`` to the rows chosen."""
        self._chosen.append(log_probs)
        if self._models is None and len(self._log_likelihoods) * log_probs.shape[1] <= self._most:
            self._log_likelihoods = (self._log_likelihoods[:, None] + log_probs.T).flatten(0, 1)
        elif self._models is None:
            # as many under each model, so that the mean of their posteriors is the uniform prior
            self._models = torch.arange(self.num_models).repeat(-(-self._most // self.num_models))
            self._log_likelihoods = torch.zeros(len(self._models), self.num_models, dtype=torch.float64)
            for chosen in self._chosen:
                self._extend(chosen)
        else:
            self._extend(log_probs)
        self._update()

    def _extend(self, log_probs: Tensor) -> None:
        """Draws the answer to one more row, under the model of each of the answers so far."""
        assert self._models is not None
        # the classes by falling probability, so that their numbers do not matter
        probs, order = log_probs.exp().sort(dim=1, descending=True, stable=True)
        cumulative = probs.cumsum(dim=1)[self._models]
        u = torch.rand(len(cumulative), 1, dtype=torch.float64, generator=self._generator) * cumulative[:, -1:]
        places = torch.searchsorted(cumulative, u, right=True).clamp(max=log_probs.shape[1] - 1)
        classes = order[self._models].gather(1, places).squeeze(1)
        self._log_likelihoods += log_probs.T[classes]

    def gains(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """Information about the model in the labels of candidates.

        Args:
            log_probs: Float64, shape ``(K, T, C)``.

        Returns:
            The gains and their standard errors, which are 0 if the answers are all there are; shape ``(K,)`` each.
        """
        num_answers, (_, num_models, num_classes) = len(self._posterior), log_probs.shape
        gains, errors = [], []
        for rows in log_probs.split(max(1, BLOCK_VALUES // (num_answers * num_classes))):
            probs = rows.exp()
            entropies = -(probs * rows).sum(dim=2)  # (k, T)
            mixed = self._posterior @ probs.transpose(0, 1).reshape(num_models, -1)  # (M, k C)
            told = -mixed.clamp(min=TINY).log().mul_(mixed).view(num_answers, len(rows), -1).sum(dim=2)
            told -= self._posterior @ entropies.T  # (M, k)
            gain = self._weights @ told
            gains.append(gain)
            if self.are_drawn:
                variances = self._weights @ (told - gain).square()
                errors.append((variances / num_answers).sqrt())
            else:
                errors.append(torch.zeros_like(gain))
        return torch.cat(gains), torch.cat(errors)


class _Candidates:
    """Rows of the pool that can be the next pick: those of highest BALD, with bounds of their gains.

    Args:
        scores: BALD scores, float64, shape ``(N,)``.
        logits_at: Returns logits of ascending rows.
    """

    def __init__(self, scores: Tensor, logits_at: Callable[[Tensor], Tensor]) -> None:
        self._order = scores.argsort(descending=True, stable=True)
        self._limits = scores[self._order] * (1 + ROUNDING) + ROUNDING  # no gain of a row is above
        self._logits_at = logits_at
        self.rows = torch.empty(0, dtype=torch.int64)
        """Positions of the candidates in the pool, shape ``(K,)``."""
        self._bounds = torch.empty(0, dtype=torch.float64)
        self.log_probs = torch.empty(0)
        """Their log-probabilities, shape ``(K, T, C)``."""
        self._grow(FIRST_CANDIDATES)

    def _grow(self, size: int) -> None:
        """Makes the first rows in the order of BALD candidates."""
        start, size = len(self.rows), min(size, len(self._order))
        rows, order = self._order[start:size].sort()
        log_probs = self._logits_at(rows).log_softmax(dim=2).clamp(min=LEAST_LOG_PROB)
        self.rows = torch.cat([self.rows, rows])
        self.log_probs = log_probs if start == 0 else torch.cat([self.log_probs, log_probs])
        self._bounds = torch.cat([self._bounds, self._limits[start:size][order]])

    def best(self, answers: _Answers) -> int | None:
        """Returns which candidate gains most, or None if no gain is worth a pick."""
        least = SPENT * math.log(answers.num_models)
        gains = torch.full_like(self._bounds, -torch.inf)
        while True:
            best = max(least, float(gains.max()))
            may_win = ((self._bounds >= best - TIE) & (gains == -torch.inf)).nonzero().squeeze(1)
            if len(may_win):
                block = may_win[self._bounds[may_win].argsort(descending=True, stable=True)[:BLOCK_ROWS]]
                found, errors = answers.gains(self.log_probs[block].double())
                gains[block] = found
                self._bounds[block] = torch.minimum(self._bounds[block], found + DEVIATIONS * errors)
                continue
            if len(self.rows) < len(self._order) and self._limits[len(self.rows)] >= best - TIE:
                self._grow(2 * len(self.rows))
                gains = torch.cat([gains, gains.new_full((len(self.rows) - len(gains),), -torch.inf)])
                continue
            if float(gains.max()) < least:
                return None
            ties = (gains >= gains.max() - TIE).nonzero().squeeze(1)
            return int(ties[self.rows[ties].argmin()])

    def take(self, candidate: int) -> None:
        """Takes a candidate out."""
        self._bounds[candidate] = -torch.inf


class BatchBALD(QueryStrategy):
    """Queries samples that together tell most about the model (BALD of whole batches).

    BALD may take many samples that tell the same. BatchBALD takes a sample only for what the samples before it do not
    tell. The Monte Carlo samples are as in :class:`~al_lightning.strategies.BALD`. T of them tell log T nats at most.
    So BatchBALD is for small queries, of 20 samples or fewer, and T should be 100 or more.

    Args:
        num_samples: Number of samples of the model, T, at least 2.
        num_configurations: See :func:`batch_bald_query`.
        posterior: See :class:`~al_lightning.strategies.BALD`.
        prior_precision: See :class:`~al_lightning.strategies.BALD`.

    Raises:
        InputError: If an argument is out of range. When queried, if the model has no samples.

    Reference:
        Kirsch, van Amersfoort and Gal, "BatchBALD: Efficient and Diverse Batch Acquisition for Deep Bayesian Active
        Learning", NeurIPS 2019.
    """

    def __init__(
        self,
        num_samples: int = 100,
        num_configurations: int = 2_000,
        posterior: Posterior | None = None,
        prior_precision: float | None = None,
    ) -> None:
        _check_configurations(num_configurations)
        self._samples = JointSamples("BatchBALD", num_samples, posterior, prior_precision)
        self.num_samples = num_samples
        self.num_configurations = num_configurations
        self.posterior = posterior
        self.prior_precision = prior_precision

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        self._samples.prepare(pool)
        scores = pool.map(lambda batch: self._samples.map(batch, bald_score))

        def logits_at(positions: Tensor) -> Tensor:
            over = pool.blocks_at(positions)
            return pool.map(lambda batch: self._samples.map(batch, lambda logits: logits), over=over)

        return _choose(scores, logits_at, query_size, self.num_configurations, generator)
