"""BAIT: query what tells most about the weights of the last layer, as far as the predictions depend on them."""

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_query_size, checked_predictions
from al_lightning.strategies.fisher import Rows
from al_lightning.strategies.fisher_full import FullRows, check_memory

Form = Literal["binary", "full"]


class Falls(Protocol):
    """Chooses rows by what they take off tr(M^-1 F)."""

    m: Tensor

    def add(self, num_picks: int) -> Tensor: ...

    def remove(self, num_rows: int) -> Tensor: ...


class Information(Protocol):
    """Rows of Fisher information."""

    def __len__(self) -> int: ...

    def only(self, rows: Tensor) -> "Information": ...

    def information(self) -> Tensor: ...

    def trace_falls(self, m: Tensor, f: Tensor) -> Falls: ...


def bait_query(
    probs: ArrayLike,
    embeddings: ArrayLike,
    labeled_probs: ArrayLike,
    labeled_embeddings: ArrayLike,
    query_size: int,
    ridge: float = 1.0,
    oversample: float = 2,
    form: Form = "binary",
) -> Tensor:
    r"""Chooses rows so that tr(M^-1 F) becomes small.

    .. math:: M = \lambda I + \sum_{x \in \text{labeled, chosen}} I(x), \qquad
              F = \text{mean of } I(x) \text{ over the labeled rows and the pool}

    :math:`I(x)` is the Fisher information of the last layer's weights. With features h, the full form is
    :math:`(\mathrm{diag}(p) - p p^\top) \otimes h h^\top`. The binary form looks at the most likely class against all
    others: with :math:`q = \max_c p_c` it is :math:`q (1 - q)\, h h^\top`.

    Rows are added greedily, each the one that makes the trace fall most, until there are ``oversample`` times as many
    as asked for. Then rows are removed, each the one whose removal makes the trace rise least. All arithmetic is in
    float64.

    Args:
        probs: Class probabilities of the pool, shape ``(N, C)``: a tensor, an array of NumPy or nested lists.
        embeddings: Features of the pool, shape ``(N, D)``, in one of these forms.
        labeled_probs: Class probabilities of the labeled samples, shape ``(M, C)``. If there are none, they may have
            any shape.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``; the same holds.
        query_size: Number of rows to choose, b, 0 to N.
        ridge: :math:`\lambda`, above 0.
        oversample: How many times b rows are added before rows are removed, at least 1. No more than N are added.
        form: ``binary`` takes time of ``N D^2`` once and ``N D + D^2`` for each row added. ``full`` takes
            ``N C^2 D^2`` once and ``N C^2 D`` for each row; its matrices take ``16 N (C - 1)^2 + 48 C^2 D^2`` bytes.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order they were added. Ties go to the lowest row.

    Raises:
        InputError: If ``query_size`` is larger than N, a value is not finite or out of range, the arguments do not go
            together, or the matrices of the full form take more than 4 GiB.

    Example:
        >>> probs = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.6, 0.4]])
        >>> embeddings = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])  # the second row tells nothing new
        >>> bait_query(probs, embeddings, [], [], 2)
        tensor([0, 2])
    """
    probs, embeddings = checked_predictions(probs, embeddings)
    if len(labeled_probs) == len(labeled_embeddings) == 0:  # of whatever shape
        labeled_probs, labeled_embeddings = probs[:0], embeddings[:0]
    labeled_probs, labeled_embeddings = checked_predictions(labeled_probs, labeled_embeddings, " of labeled samples")
    for name, of_pool, of_labeled in (
        ("classes", probs, labeled_probs),
        ("features", embeddings, labeled_embeddings),
    ):
        if of_pool.shape[1] != of_labeled.shape[1]:
            raise InputError(
                f"Expected as many {name} of labeled samples as of the pool, {of_pool.shape[1]}, but got "
                f"{of_labeled.shape[1]}."
            )
    check_query_size(query_size, len(probs))
    _check_options(ridge, oversample, form)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    rows: Information
    labeled: Information
    if form == "binary":
        rows = Rows(_binary_weights(probs), embeddings)
        labeled = Rows(_binary_weights(labeled_probs), labeled_embeddings)
    else:
        check_memory(len(probs), probs.shape[1], embeddings.shape[1])
        rows, labeled = FullRows(probs, embeddings), FullRows(labeled_probs, labeled_embeddings)
    m = labeled.information()
    f = (m + rows.information()) / (len(labeled) + len(rows))
    m.diagonal().add_(ridge)
    falls = rows.trace_falls(m, f)
    chosen = falls.add(min(math.ceil(oversample * query_size), len(rows)))
    if len(chosen) == query_size:
        return chosen
    return chosen[rows.only(chosen).trace_falls(falls.m, f).remove(len(chosen) - query_size)]


def _binary_weights(probs: Tensor) -> Tensor:
    """Weight q (1 - q) of the most likely class; rounding may leave probabilities a little above 1."""
    q = probs.amax(dim=1).double().clamp(0, 1)
    return q * (1 - q)


def _check_options(ridge: float, oversample: float, form: str) -> None:
    if not 0 < ridge < math.inf:
        raise InputError(f"Expected `ridge` of BAIT to be a finite number above 0, but got {ridge}.")
    if not 1 <= oversample < math.inf:
        raise InputError(f"Expected `oversample` of BAIT to be a finite number of at least 1, but got {oversample}.")
    if form not in ("binary", "full"):
        raise InputError(f"Expected `form` of BAIT to be binary or full, but got {form!r}.")


class BAIT(QueryStrategy):
    """Queries by the Fisher information of the last layer (batch active learning via information matrices).

    Each chosen sample and each labeled sample have the same weight in M, as in the paper. The code of the authors gives
    the chosen samples more.

    Args:
        ridge: What is added to the diagonal of M, above 0.
        oversample: How many times the query is added greedily before the rest is removed again, at least 1.
        form: ``binary`` looks at the most likely class against all others (Huseljic et al.), and takes little time.
            ``full`` looks at all classes, and is for few of them; see :func:`bait_query` for its memory.

    Raises:
        InputError: If an argument is out of range.

    References:
        Ash, Goel, Krishnamurthy and Kakade, "Gone Fishing: Neural Active Learning with Fisher Embeddings", NeurIPS
        2021.
        Huseljic, Hahn, Herde, Rauch and Sick, "Fast Fishing: Approximating BAIT for Efficient and Scalable Deep Active
        Image Classification", ECML PKDD 2024.
    """

    def __init__(self, ridge: float = 1.0, oversample: float = 2, form: Form = "binary") -> None:
        _check_options(ridge, oversample, form)
        self.ridge = ridge
        self.oversample = oversample
        self.form = form

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        probs, embeddings = pool.map(lambda batch: (batch.probs, batch.embeddings))
        labeled_probs, labeled_embeddings = probs[:0], embeddings[:0]
        if pool.num_labeled:
            both = pool.map_labeled(lambda batch: torch.cat([batch.probs, batch.embeddings], dim=1))
            labeled_probs, labeled_embeddings = both[:, : probs.shape[1]], both[:, probs.shape[1] :]
        return bait_query(
            probs,
            embeddings,
            labeled_probs,
            labeled_embeddings,
            query_size,
            self.ridge,
            self.oversample,
            self.form,
        )
