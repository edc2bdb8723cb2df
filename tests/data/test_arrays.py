"""Functions that users import accept the usual arrays, and refuse others in one sentence."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

import al_lightning
from al_lightning import (
    BADGE,
    InputError,
    Margin,
    PoolPredictor,
    TensorBlocks,
    badge_query,
    bald_score,
    consistency_score,
    entropy_score,
    k_center_greedy,
    least_confidence_score,
    margin_score,
    top_k,
)
from tests.helpers import fitted_model, generator, make_pool, pool_inputs, random_probs


def test_every_public_name_is_there() -> None:
    assert all(hasattr(al_lightning, name) for name in al_lightning.__all__)
    assert al_lightning.Predictions.__name__ == "Predictions"


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS = {
    "array": lambda x: x.numpy(),
    "float64": lambda x: x.numpy().astype(np.float64),
    "Fortran": lambda x: np.asfortranarray(x.numpy()),
    "reversed": lambda x: x.numpy()[::-1].copy()[::-1],
    "every second": lambda x: np.repeat(x.numpy(), 2, axis=0)[::2],
    "read-only": lambda x: read_only(x.numpy()),
    "big-endian": lambda x: x.numpy().astype(">f4"),
    "lists": lambda x: x.tolist(),
    "a gradient": lambda x: x.clone().requires_grad_(),
    "a transpose": lambda x: x.T.contiguous().T,
}


@pytest.mark.parametrize("form", FORMS)
def test_queries_of_any_form_are_those_of_tensors(form: str) -> None:
    probs, embeddings = random_probs(60, 4), torch.randn(60, 5, generator=generator(1))
    convert = FORMS[form]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        badge = badge_query(convert(probs), convert(embeddings), 12, generator(2))
        core_set = k_center_greedy(convert(embeddings), convert(embeddings[:3] + 1), 12)
    assert badge.equal(badge_query(probs, embeddings, 12, generator(2)))
    assert core_set.equal(k_center_greedy(embeddings, embeddings[:3] + 1, 12))
    assert {badge.dtype, core_set.dtype} == {torch.int64}


@pytest.mark.parametrize("form", FORMS)
def test_scores_of_any_form_are_those_of_tensors(form: str) -> None:
    probs = random_probs(60, 4)
    log_probs, samples = probs.log(), torch.stack([random_probs(60, 4, seed) for seed in range(3)], dim=1).log()
    convert = FORMS[form]
    if samples.dim() == 3 and form == "a transpose":
        convert = lambda x: x.movedim(0, 1).contiguous().movedim(1, 0)  # noqa: E731
    for score, values in [
        (least_confidence_score, probs),
        (margin_score, probs),
        (entropy_score, log_probs),
        (bald_score, samples),
        (lambda x: consistency_score(x, [x, convert(probs.flip(1))]), probs),
        (lambda x: top_k(x, 5), probs[:, 0]),
    ]:
        of_form = score(convert(values) if values.dim() > 1 or form != "a transpose" else values)
        assert isinstance(of_form, Tensor)
        torch.testing.assert_close(of_form.detach().double(), score(values).double(), atol=1e-6, rtol=1e-5)


def test_half_precision_is_taken_as_it_is_rounded() -> None:
    probs, embeddings = random_probs(60, 4).half(), torch.randn(60, 5).half()
    expected = badge_query(probs.float(), embeddings.float(), 12, generator(2))
    for dtype in (torch.float16, torch.bfloat16):
        rounded = probs.to(dtype), embeddings.to(dtype)
        assert len(set(badge_query(*rounded, 12, generator(2)).tolist())) == 12
    assert badge_query(probs, embeddings, 12, generator(2)).equal(expected)
    assert badge_query(probs.numpy(), embeddings.numpy(), 12, generator(2)).equal(expected)


def test_whole_numbers_are_numbers() -> None:
    assert k_center_greedy(np.array([[1], [9], [-4]]), np.array([[0]]), 2).tolist() == [1, 2]
    assert margin_score([[1, 0], [0, 1]]).tolist() == [-1, -1]


def test_without_labeled_embeddings_of_any_form() -> None:
    embeddings = np.array([[0.0, 1.0], [5.0, 5.0], [2.0, 2.0]])
    for nothing in ([], np.empty((0, 2)), torch.empty(0), torch.empty(0, 2)):
        assert k_center_greedy(embeddings, nothing, 1).tolist() == [2]


def test_large_numbers_keep_their_digits() -> None:
    """Two Unix times one second apart are the same number in float32."""
    times = 1.7e9 + np.array([[0.0], [3.0], [9.0], [4.0]])
    assert k_center_greedy(times, times[:1], 3).tolist() == [2, 3, 1]


def test_the_generator_may_be_left_out() -> None:
    probs, embeddings = random_probs(60, 4), torch.randn(60, 5)
    torch.manual_seed(7)
    first = badge_query(probs, embeddings, 12)
    torch.manual_seed(7)
    assert badge_query(probs, embeddings, 12).equal(first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probs": torch.randn(6, 3)}, r"probabilities in \[0, 1\], but got values from -.*take the softmax first"),
        ({"probs": torch.rand(6)}, r"probabilities of shape \(N, C\), but got \(6,\)"),
        ({"probs": torch.rand(6, 1)}, r"of at least two classes, but got \(6, 1\)"),
        ({"probs": torch.rand(5, 3)}, "a row of embeddings for each of 5 rows of probabilities, but got 6"),
        ({"probs": [[0.5, 0.5], [1.0]]}, "probabilities to be an array of numbers, but got: "),
        ({"probs": np.array([["a", "b"]] * 6)}, "probabilities to be an array of numbers, but got <U1"),
        ({"embeddings": torch.rand(6, 2, 2)}, r"embeddings of shape \(N, D\), but got \(6, 2, 2\)"),
        ({"embeddings": torch.full((6, 2), torch.nan)}, "finite embeddings, but got NaN"),
        ({"embeddings": torch.zeros(6, 2, dtype=torch.complex64)}, "to be numbers, but got torch.complex64"),
        ({"query_size": 7}, "from 0 to the pool size 6, but got 7"),
        ({"query_size": 2.0}, "`query_size` to be an integer, but got 2.0"),
        ({"generator": 3}, "`generator` to be a torch.Generator of the CPU, but got 3"),
    ],
)
def test_what_badge_cannot_take_is_one_sentence(arguments: dict, message: str) -> None:
    good = {"probs": random_probs(6, 3), "embeddings": torch.rand(6, 2), "query_size": 2, "generator": None}
    with pytest.raises(InputError, match=message):
        badge_query(**{**good, **arguments})


def test_other_features_of_labeled_samples_are_refused() -> None:
    with pytest.raises(InputError, match="as many features of labeled samples as of the pool, 3, but got 2"):
        k_center_greedy(torch.rand(6, 3), torch.rand(4, 2), 2)


# ------------------------------------------------------------------------------------------------- a loop of one's own


@pytest.mark.parametrize(
    "form", [lambda x: x, lambda x: x.numpy(), lambda x: TensorBlocks(x, block_size=7), lambda x: x.double().numpy()]
)
def test_a_pool_of_any_form_is_that_of_blocks(form) -> None:
    pool = PoolPredictor(fitted_model(), form(pool_inputs(50)), form(pool_inputs(9)))
    expected = make_pool(pool_inputs(50), labeled=pool_inputs(9))
    torch.testing.assert_close(pool.probs(), expected.probs())
    assert BADGE().query(pool, 5, generator()).equal(BADGE().query(expected, 5, generator()))
    assert pool.labeled_embeddings().shape == (9, 32)


class Named(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = fitted_model()

    def forward(self, ids: Tensor, scale: Tensor) -> dict:
        return {"logits": self.net(ids) * scale[:, None]}


def test_a_pool_of_tensors_by_name() -> None:
    inputs, scale = pool_inputs(300), torch.linspace(0.5, 1, 300)
    pool = PoolPredictor(Named(), {"ids": inputs, "scale": scale})
    with torch.no_grad():
        expected = (copy.deepcopy(fitted_model()).eval()(inputs) * scale[:, None]).softmax(dim=1)
    torch.testing.assert_close(pool.probs(), expected)
    assert len(pool) == 300
    assert len(pool.labeled_embeddings()) == 0


def test_the_rows_of_a_mask_are_those_that_are_set() -> None:
    mask = torch.arange(50) % 3 == 0
    rows = torch.cat([block.clone() for block in TensorBlocks(pool_inputs(50), mask, block_size=4)])
    assert rows.equal(pool_inputs(50)[mask])
    assert torch.cat(list(TensorBlocks(pool_inputs(50).numpy(), mask.numpy()))).equal(rows)
    for wrong, message in [
        (mask[:9], "a mask of 50 rows"),
        (torch.tensor([50]), "from 0 to 49"),
        (mask.float(), "int"),
    ]:
        with pytest.raises(InputError, match=message):
            TensorBlocks(pool_inputs(50), wrong)


def test_a_loader_is_no_pool() -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pool_inputs(9)))
    for pool in (loader, loader.dataset, None):
        with pytest.raises(InputError, match="`pool` to be a tensor, an array, tensors by name or blocks"):
            PoolPredictor(fitted_model(), pool)


def test_a_strategy_that_measures_distances_works_without_labels() -> None:
    pool = PoolPredictor(fitted_model(), pool_inputs(20))
    assert len(set(al_lightning.CoreSet().query(pool, 3, generator()).tolist())) == 3
    assert len(Margin().query(pool, 3, generator())) == 3
