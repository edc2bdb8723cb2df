"""BAIT: the fast forms choose what explicit inverses choose."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.strategies import BAIT, fisher, fisher_full
from al_lightning.strategies.bait import bait_query
from al_lightning.strategies.fisher import Rows, TraceFalls
from al_lightning.strategies.fisher_full import FullRows, FullTraceFalls, check_memory
from tests.helpers import fitted_model, generator, labeled_inputs, make_pool, pool_inputs, random_probs

FORMS = ["binary", "full"]


def information(p: Tensor, h: Tensor, form: str) -> Tensor:
    """I(x) as the papers write it, float64."""
    p, h = p.double(), h.double()
    if form == "binary":
        return p.max() * (1 - p.max()) * torch.outer(h, h)
    return torch.kron(torch.diag(p) - torch.outer(p, p), torch.outer(h, h))


def by_inverses(probs, embeddings, labeled_probs, labeled_embeddings, query_size, ridge=1.0, oversample=2, form=""):
    """The definition, with an inverse of M for each row and each pick. Values closer than 1e-9 tie."""
    infos = [information(p, h, form) for p, h in zip(probs, embeddings, strict=True)]
    labeled = [information(p, h, form) for p, h in zip(labeled_probs, labeled_embeddings, strict=True)]
    f = sum(infos + labeled) / len(infos + labeled)
    m = sum(labeled, torch.zeros_like(f)) + ridge * torch.eye(len(f), dtype=torch.float64)
    chosen: list[int] = []
    while len(chosen) < min(math.ceil(oversample * query_size), len(probs)):
        before = torch.trace(torch.linalg.inv(m) @ f)
        falls = {
            i: float(before - torch.trace(torch.linalg.inv(m + infos[i]) @ f))
            for i in range(len(infos))
            if i not in chosen
        }
        largest = max(falls.values())
        chosen.append(min(i for i, fall in falls.items() if fall >= largest - 1e-9 * abs(largest) - 1e-15))
        m = m + infos[chosen[-1]]
    while len(chosen) > query_size:
        traces = {i: float(torch.trace(torch.linalg.inv(m - infos[i]) @ f)) for i in chosen}
        removed = max(i for i, trace in traces.items() if trace <= min(traces.values()) * (1 + 1e-12))
        chosen.remove(removed)
        m = m - infos[removed]
    return chosen


def rows(size: int, num_classes: int, num_features: int, seed: int) -> tuple[Tensor, Tensor]:
    """Probabilities and features, float64, which never tie."""
    draws = torch.randn(size, num_features, generator=generator(seed), dtype=torch.float64)
    probs = random_probs(size, num_classes, seed + 1).double()
    return probs / probs.sum(dim=1, keepdim=True), draws


# ------------------------------------------------------------------------------------- the same as explicit inverses


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_queries_are_those_of_explicit_inverses(form, data, seed):
    num_classes, num_features = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 4))
    size, num_labeled = data.draw(st.integers(1, 16), "size"), data.draw(st.integers(0, 8), "labeled")
    query_size = data.draw(st.integers(0, min(size, 6)), "query_size")
    pool, labeled = rows(size, num_classes, num_features, seed), rows(num_labeled, num_classes, num_features, seed + 9)
    ridge = data.draw(st.sampled_from([0.01, 1.0, 30.0]), "ridge")
    oversample = data.draw(st.sampled_from([1, 1.5, 2, 3]), "oversample")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(fisher, "BLOCK_ROWS", data.draw(st.integers(1, 20)))
        monkeypatch.setattr(fisher, "AHEAD", data.draw(st.integers(1, 6)))
        monkeypatch.setattr(fisher, "NEAR", data.draw(st.integers(1, 6)))
        monkeypatch.setattr(fisher_full, "BLOCK_VALUES", data.draw(st.integers(1, 100)))
        monkeypatch.setattr(fisher_full, "FIRST_ROWS", data.draw(st.integers(1, 6)))
        query = bait_query(*pool, *labeled, query_size, ridge, oversample, form)
    assert query.tolist() == by_inverses(*pool, *labeled, query_size, ridge, oversample, form)


def test_known_answer_of_120_rows():
    pool, labeled = rows(120, 5, 6, 3), rows(20, 5, 6, 4)
    assert bait_query(*pool, *labeled, 12).tolist() == by_inverses(*pool, *labeled, 12, form="binary")


def test_falls_of_digits_are_those_of_explicit_inverses():
    """In float32 features of a real network, the trace after the query equals that of the plain choice."""
    pool = make_pool()
    probs, embeddings = pool.probs(), pool.embeddings()
    labeled = pool.map_labeled(lambda batch: batch.probs), pool.labeled_embeddings()
    assert bait_query(probs, embeddings, *labeled, 5).tolist() == by_inverses(
        probs, embeddings, *labeled, 5, form="binary"
    )


@pytest.mark.parametrize(("form", "size"), [("binary", 2000), ("full", 400)])
@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_rounding_stays_small_over_many_picks(form, size, ridge):
    """a and b, after 200 changes of rank one or 40 of rank 2, against those computed from M at the end."""
    num_features = 256 if form == "binary" else 12
    probs, embeddings = random_probs(size, 3), 3 * torch.randn(size, num_features, generator=generator(1)).relu()
    q = probs.amax(dim=1).double()
    made = Rows(q * (1 - q), embeddings) if form == "binary" else FullRows(probs, embeddings)
    f = made.information() / size
    falls = made.trace_falls(ridge * torch.eye(len(f), dtype=torch.float64), f)
    falls.add(200 if form == "binary" else 40)
    kept = falls._a, falls._b
    falls._compute()
    for updated, exact in zip(kept, (falls._a, falls._b), strict=True):
        assert (updated - exact).abs().max() < (1e-9 if ridge == 1 else 1e-6) * exact.abs().max()


@pytest.mark.parametrize("form", FORMS)
def test_where_rounding_would_decide_all_is_computed_from_m_again(form, monkeypatch):
    """With a ridge of 1e-6, a and b fall by 6 and 12 orders of magnitude in a direction that is labeled first."""
    pool = rows(30, 3, 3, 0)
    computed = []
    kind = TraceFalls if form == "binary" else FullTraceFalls
    compute = kind._compute
    monkeypatch.setattr(kind, "_compute", lambda self: computed.append(1) or compute(self))
    query = bait_query(*pool, [], [], 6, 1e-6, 2, form)
    assert query.tolist() == by_inverses(*pool, *(part[:0] for part in pool), 6, 1e-6, form=form)
    assert 3 <= len(computed) <= 12


def test_guesses_save_nearly_all_passes_over_the_rows(monkeypatch):
    passes = []
    blocks = Rows.blocks
    monkeypatch.setattr(Rows, "blocks", lambda self: passes.append(len(self)) or blocks(self))
    probs, embeddings = random_probs(3000, 10), torch.randn(3000, 32, generator=generator()).relu()
    bait_query(probs, embeddings, probs[:500], embeddings[:500], 100)
    assert passes.count(3000) <= 25  # and not 202


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_arguments_are_left_as_they_were(form, dtype):
    given = [part.to(dtype) for part in (*rows(20, 3, 2, 0), *rows(5, 3, 2, 1))]
    before = [part.clone() for part in given]
    bait_query(*given, 4, form=form)
    assert all(part.equal(kept) for part, kept in zip(given, before, strict=True))


# ------------------------------------------------------------------------------------------------- Fisher information


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_roots_of_the_full_form_have_one_row_less_than_classes(num_classes):
    probs, embeddings = rows(11, num_classes, 3, 0)
    probs[0] = torch.eye(num_classes)[0]  # certain of the first class
    probs[1] = torch.eye(num_classes)[-1]
    full = FullRows(probs, embeddings)
    for i in range(11):
        assert full.at(i).shape == (num_classes - 1, 3 * num_classes)
        torch.testing.assert_close(full.at(i).T @ full.at(i), information(probs[i], embeddings[i], "full"))
    expected = sum(information(p, h, "full") for p, h in zip(probs, embeddings, strict=True))
    torch.testing.assert_close(full.information(), expected)


def test_full_information_is_the_hessian_of_the_loss():
    probs, h = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)

    def loss(weights: Tensor) -> Tensor:
        return -(weights.view(3, 2) @ h + probs.log()).log_softmax(dim=0)[1]

    hessian = torch.autograd.functional.hessian(loss, torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(FullRows(probs[None], h[None]).information(), hessian)


def test_of_two_classes_the_binary_form_is_half_of_the_full_one():
    """diag(p) - p p^T = q (1 - q) times a matrix of eigenvalue 2: with twice the ridge, both forms choose the same."""
    pool, labeled = rows(30, 2, 4, 0), rows(10, 2, 4, 1)
    full = bait_query(*pool, *labeled, 6, ridge=2.0, form="full")
    assert bait_query(*pool, *labeled, 6, ridge=1.0).equal(full)


# --------------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("form", FORMS)
def test_a_rotation_of_features_changes_nothing(form):
    pool, labeled = rows(40, 3, 5, 0), rows(10, 3, 5, 1)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator(), dtype=torch.float64))[0]
    turned = bait_query(pool[0], pool[1] @ turn, labeled[0], labeled[1] @ turn, 8, form=form)
    assert turned.equal(bait_query(*pool, *labeled, 8, form=form))


@pytest.mark.parametrize("form", FORMS)
def test_a_duplicate_of_a_chosen_row_falls(form):
    probs, embeddings = rows(30, 3, 5, 2)
    first = int(bait_query(probs, embeddings, [], [], 1, 0.1, 1, form))
    probs, embeddings = (torch.cat([part, part[[first]]]) for part in (probs, embeddings))
    query = bait_query(probs, embeddings, [], [], 4, 0.1, 1, form).tolist()
    assert query[0] == first  # of both, the lower row
    assert 30 not in query


def test_a_labeled_row_is_not_asked_for_again():
    probs = torch.full((3, 2), 0.5)
    embeddings = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 1.0]])
    assert bait_query(probs, embeddings, [], [], 1).tolist() == [0]
    labeled = torch.tensor([[3.0, 0.0]]).repeat(9, 1)
    assert bait_query(probs, embeddings, torch.full((9, 2), 0.5), labeled, 1).tolist() == [1]


@pytest.mark.parametrize("form", FORMS)
def test_with_a_large_ridge_the_largest_traces_of_f_are_chosen(form):
    """A is I / ridge then, whatever is chosen: the query is the top of tr(F I(x)), or w h^T F h."""
    pool, labeled = rows(50, 3, 4, 5), rows(12, 3, 4, 6)
    infos = [information(p, h, form) for part in (pool, labeled) for p, h in zip(*part, strict=True)]
    f = sum(infos) / 62
    expected = torch.stack([torch.trace(f @ info) for info in infos[:50]]).topk(7).indices
    assert bait_query(*pool, *labeled, 7, 1e9, 2, form).equal(expected)


@pytest.mark.parametrize("form", FORMS)
def test_the_pool_may_be_the_query(form):
    pool = rows(9, 3, 2, 0)
    assert bait_query(*pool, [], [], 0, form=form).tolist() == []
    assert sorted(bait_query(*pool, [], [], 9, form=form).tolist()) == list(range(9))
    assert len(set(bait_query(*pool, [], [], 8, form=form).tolist())) == 8  # 9 are added, and one is removed


@pytest.mark.parametrize("form", FORMS)
def test_where_all_predictions_are_certain_the_lowest_rows_are_chosen(form):
    probs = torch.eye(3)[torch.arange(50) % 3]
    query = bait_query(probs, torch.randn(50, 4, generator=generator()), probs[:5], torch.ones(5, 4), 10, form=form)
    assert query.tolist() == list(range(10))


def test_where_few_predictions_are_uncertain_they_are_chosen_first(monkeypatch):
    computed = []
    compute = TraceFalls._compute
    monkeypatch.setattr(TraceFalls, "_compute", lambda self: computed.append(1) or compute(self))
    probs = torch.eye(3)[torch.arange(300) % 3]
    probs[[40, 7, 200]] = torch.tensor([0.4, 0.3, 0.3])
    embeddings = torch.randn(300, 4, generator=generator())
    query = bait_query(probs, embeddings, probs[:5], embeddings[:5], 20).tolist()
    assert sorted(query[:3]) == [7, 40, 200]
    assert query[3:] == [i for i in range(18) if i != 7]
    assert len(computed) <= 5


# ------------------------------------------------------------------------------------------------ public bugs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("block_rows", [1, 7, 10**6])
def test_results_do_not_depend_on_blocks(form, block_rows, monkeypatch):
    """Regression: means of minibatches were added up, which made labels weigh by their number (dal-toolbox)."""
    pool, labeled = rows(60, 3, 4, 0), rows(40, 3, 4, 1)
    expected = by_inverses(*pool, *labeled, 5, form=form)
    monkeypatch.setattr(fisher, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(fisher_full, "BLOCK_VALUES", 12 * block_rows)
    assert bait_query(*pool, *labeled, 5, form=form).tolist() == expected
    strategy = BAIT()
    queries = [strategy.query(make_pool(block_size=size), 10, generator()) for size in (7, 64)]
    assert queries[0].equal(queries[1])


@pytest.mark.parametrize("ridge", [0.0, -1.0, math.nan, math.inf])
def test_a_ridge_that_is_not_above_0_raises(ridge):
    """Regression: M was inverted without a ridge, though few labels leave it singular (LabelBench)."""
    pool = rows(5, 3, 2, 0)
    with pytest.raises(InputError, match=f"`ridge` of BAIT to be a finite number above 0, but got {ridge}"):
        bait_query(*pool, [], [], 2, ridge=ridge)


# ------------------------------------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"oversample": 0.5}, "`oversample` of BAIT to be a finite number of at least 1, but got 0.5"),
        ({"oversample": math.nan}, "but got nan"),
        ({"form": "exact"}, "`form` of BAIT to be binary or full, but got 'exact'"),
    ],
)
def test_bad_options_raise(kwargs, message):
    with pytest.raises(InputError, match=message):
        BAIT(**kwargs)
    with pytest.raises(InputError, match=message):
        bait_query(*rows(5, 3, 2, 0), [], [], 2, **kwargs)


def test_what_does_not_go_together_raises():
    probs, embeddings = rows(5, 3, 2, 0)
    with pytest.raises(InputError, match="a row of embeddings for each of 5 rows of probabilities, but got 4"):
        bait_query(probs, embeddings[:4], [], [], 2)
    with pytest.raises(InputError, match="of labeled samples for each of 5 rows of probabilities, but got 4"):
        bait_query(probs, embeddings, probs, embeddings[:4], 2)
    with pytest.raises(InputError, match="many classes of labeled samples as of the pool, 3, but got 2"):
        bait_query(probs, embeddings, random_probs(5, 2), embeddings, 2)
    with pytest.raises(InputError, match="many features of labeled samples as of the pool, 2, but got 3"):
        bait_query(probs, embeddings, probs, torch.ones(5, 3), 2)
    with pytest.raises(InputError, match="pool size 5, but got 6"):
        bait_query(probs, embeddings, [], [], 6)


@pytest.mark.parametrize("part", range(4))
def test_nan_raises(part):
    given = [*rows(5, 3, 2, 0), *rows(5, 3, 2, 1)]
    given[part][2, 1] = math.nan
    whose = " of labeled samples" if part > 1 else ""
    with pytest.raises(InputError, match=f"finite (probabilities|embeddings){whose}, but got NaN or infinity in 1 of"):
        bait_query(*given, 2)


@pytest.mark.parametrize("form", FORMS)
def test_features_too_large_to_square_raise(form):
    probs, embeddings = rows(5, 3, 2, 0)
    with pytest.raises(InputError, match="finite Fisher information, but got NaN or infinity"):
        bait_query(probs, 1e200 * embeddings, [], [], 2, form=form)


def test_the_full_form_is_refused_where_it_does_not_fit():
    check_memory(55_000, 10, 256)
    with pytest.raises(InputError, match=r"binary for 50000 samples of 100 classes and 512 features, .* 124.5 GiB"):
        check_memory(50_000, 100, 512)
    with pytest.raises(InputError, match="more than 4 GiB, but got full"):
        bait_query(random_probs(20, 300), torch.ones(20, 100), [], [], 2, form="full")


# ------------------------------------------------------------------------------------------------------- the strategy


@pytest.mark.parametrize("form", FORMS)
def test_the_strategy_asks_the_model_for_both(form):
    model = fitted_model()
    with torch.no_grad():
        h, labeled = (model.embed(inputs)[:, :12] for inputs in (pool_inputs(40), labeled_inputs()[:30]))

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 12, generator=generator()))

        def embed(self, x: Tensor) -> Tensor:
            return model.embed(x)[:, :12]

        def head(self, x: Tensor) -> Tensor:
            return x @ self.weight.T

    narrow = Narrow()
    probs, labeled_probs = (narrow.head(x).softmax(dim=1).detach() for x in (h, labeled))
    query = BAIT(0.5, 3, form).query(make_pool(pool_inputs(40), narrow, labeled_inputs()[:30]), 5, generator())
    assert query.equal(bait_query(probs, h, labeled_probs, labeled, 5, 0.5, 3, form))


def test_a_query_without_labeled_samples_works():
    query = BAIT().query(make_pool(pool_inputs(60), labeled=labeled_inputs()[:0]), 9, generator())
    assert len(query.unique()) == 9


def test_a_model_with_one_logit_has_two_classes():
    one = nn.Linear(64, 1)
    pool = make_pool(pool_inputs(60), one)
    q = one(pool_inputs(60)).sigmoid().detach()
    labeled = one(labeled_inputs()).sigmoid().detach()
    expected = bait_query(
        torch.cat([1 - q, q], dim=1), pool_inputs(60), torch.cat([1 - labeled, labeled], dim=1), labeled_inputs(), 6
    )
    assert BAIT().query(pool, 6, generator()).equal(expected)
