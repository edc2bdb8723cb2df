"""MaxHerding: the lazy form picks what the plain one picks, for both kernels."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.strategies import MaxHerding, max_herding as module
from al_lightning.strategies.max_herding import max_herding
from tests.helpers import generator, make_pool, pool_inputs


def plain_greedy(
    embeddings: Tensor,
    labeled: Tensor,
    query_size: int,
    bandwidth: float = 1.0,
    kernel: str = "rbf",
    weights: Tensor | None = None,
    references: Tensor | None = None,
) -> list[int]:
    """All kernel values, in float64, and all gains after each pick."""
    everything = torch.cat([embeddings, labeled]).double()
    norms = everything.norm(dim=1, keepdim=True)
    everything = everything / torch.where(norms > 0, norms, 1.0)
    size = len(embeddings)
    distances = (everything[:, None] - everything[None]).norm(dim=2)
    values = (
        (distances <= bandwidth * (1 + 1e-6)).double()
        if kernel == "tophat"
        else (-((distances / bandwidth) ** 2)).exp()
    )
    rows = torch.arange(size) if references is None else references
    importance = (torch.ones(size) if weights is None else weights).double()[rows]
    covered = torch.cat([torch.zeros(1, len(rows)), values[size:, rows]]).amax(dim=0)
    picks: list[int] = []
    while len(picks) < query_size:
        gains = ((values[:size, rows] - covered).clamp(min=0) * importance).sum(dim=1)
        gains[picks] = -1
        pick = int((gains >= gains.max() - 1e-10 * float(importance.sum())).nonzero()[0])
        picks.append(pick)
        covered = torch.maximum(covered, values[pick, rows])
    return picks


@pytest.mark.parametrize("kernel", ["rbf", "tophat"])
@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_lazy_equals_plain_pick_by_pick(kernel: str, data: st.DataObject, seed: int) -> None:
    size, num_labeled = data.draw(st.integers(1, 40), "size"), data.draw(st.integers(0, 20), "labeled")
    query_size = data.draw(st.integers(0, size), "query_size")
    rows = torch.randn(size + num_labeled, data.draw(st.integers(1, 4), "dim"), generator=generator(seed))
    if data.draw(st.booleans(), "lattice"):
        rows = rows.round()  # many rows coincide, some are zero, and most gains tie
    weights = (
        torch.randint(0, 4, (size,), generator=generator(seed)) / 4 if data.draw(st.booleans(), "weights") else None
    )
    references = None
    if data.draw(st.booleans(), "references"):
        references = torch.randperm(size, generator=generator(seed))[: max(1, size // 2)].sort().values
    bandwidth = data.draw(st.sampled_from([0.1, 0.5, 1.0, 3.0]), "bandwidth")
    arguments = rows[:size], rows[size:], query_size, bandwidth, kernel, weights, references
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("ROWS", "REFERENCES", "FIRST", "EXACT", "LAZY", "FIXED"):
            monkeypatch.setattr(module, name, data.draw(st.integers(1, 12), name))
        assert max_herding(*arguments).tolist() == plain_greedy(*arguments)


@pytest.mark.parametrize("kernel", ["rbf", "tophat"])
@pytest.mark.parametrize("num_labeled", [0, 100])
def test_lazy_equals_plain_on_digits(kernel: str, num_labeled: int) -> None:
    pool = make_pool()
    embeddings, labeled = pool.embeddings(), pool.labeled_embeddings()[:num_labeled]
    arguments = embeddings, labeled, 50, 0.3, kernel
    assert max_herding(*arguments).tolist() == plain_greedy(*arguments)


def test_few_gains_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    gains = module._Herd._gains
    monkeypatch.setattr(module._Herd, "_gains", lambda self, rows: computed.append(len(rows)) or gains(self, rows))
    pool = make_pool()
    max_herding(pool.embeddings(), pool.labeled_embeddings(), 40)
    assert sum(computed) < 0.25 * 40 * len(pool)
    computed.clear()
    everything = pool.embeddings()
    assert max_herding(everything, everything, 40).tolist() == list(range(40))  # all is covered, nothing is gained
    assert sum(computed) <= len(pool)


def test_the_coverage_is_at_least_two_thirds_of_the_best() -> None:
    """The coverage is submodular: greedy picks have at least 1 - 1/e of it."""
    rows = torch.randn(9, 2, generator=generator(5))
    unit = rows / rows.norm(dim=1, keepdim=True)
    values = (-(((unit[:, None] - unit[None]).norm(dim=2) / 0.4) ** 2)).exp()
    best = max(float(values[list(pair)].amax(dim=0).mean()) for pair in torch.combinations(torch.arange(9), 3).tolist())
    found = float(values[max_herding(rows, [], 3, 0.4)].amax(dim=0).mean())
    assert (1 - 1 / torch.e) * best <= found <= best + 1e-6


def test_the_coverage_does_not_depend_on_the_order_of_the_pool() -> None:
    """The picks may: two rows that are the nearest to each other add as much, and the lowest is picked."""
    pool = make_pool()
    embeddings, labeled = pool.embeddings(), pool.labeled_embeddings()
    unit = torch.nn.functional.normalize(torch.cat([embeddings, labeled]).double())
    values = (-((unit[:, None] - unit[None, :300]).norm(dim=2) ** 2)).exp()
    order = torch.randperm(300, generator=generator(1))
    labels = list(range(300, 400))
    first = max_herding(embeddings, labeled, 30).tolist()
    other = order[max_herding(embeddings[order], labeled, 30)].tolist()
    covered = [float(values[labels + picks].amax(dim=0).sum()) for picks in (first, other)]
    assert covered[0] == pytest.approx(covered[1], abs=1e-6)


def test_the_kernel_does_not_depend_on_the_number_of_features() -> None:
    """Regression: gamma is 1 / D by default, and all values lie in [.995, 1] for 768 features (scikit-activeml)."""
    angles = torch.tensor([0.0, 0.3, 0.6, 2.0, 2.1, 2.2, 2.3])
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    wide = torch.cat([rows, torch.zeros(7, 766)], dim=1)
    for kernel in ("rbf", "tophat"):
        assert max_herding(wide, [], 4, 0.5, kernel).equal(max_herding(rows, [], 4, 0.5, kernel))
    # with that gamma the pick would be the row next to the mean of all
    assert max_herding(wide, [], 1, 0.5).tolist() == [4]
    assert int((rows @ rows.sum(dim=0)).argmax()) != 4


def test_lengths_do_not_matter() -> None:
    rows = torch.randn(50, 5, generator=generator(2))
    lengths = torch.rand(50, 1, generator=generator(3)) + 0.1
    expected = max_herding(rows[10:], rows[:10], 12, 0.5)
    assert max_herding((lengths * rows)[10:], (3 * rows)[:10], 12, 0.5).equal(expected)
    assert max_herding((1e30 * rows.double())[10:], rows[:10].tolist(), 12, 0.5).equal(expected)


@pytest.mark.parametrize("kernel", ["rbf", "tophat"])
def test_rows_that_coincide_are_queried_once_each(kernel: str) -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).repeat(8, 1)
    picks = max_herding(rows, [], 24, 0.5, kernel).tolist()
    # of the Gaussian kernel the row of zeros has the largest gain: it is at distance 1 from others, and they at 1.4
    assert picks[:3] == ([2, 0, 1] if kernel == "rbf" else [0, 1, 2])
    assert picks[3:] == list(range(3, 24))


@pytest.mark.parametrize("kernel", ["rbf", "tophat"])
def test_rows_without_weight_add_nothing(kernel: str) -> None:
    angles = torch.tensor([0.0, 0.1, 0.2, 2.0, 2.1])
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert max_herding(rows, [], 1, 0.15, kernel).tolist() == [1]
    assert max_herding(rows, [], 1, 0.15, kernel, weights=[0.0, 0, 0, 1, 3]).tolist()[0] in (3, 4)
    assert max_herding(rows, [], 3, 0.15, kernel, weights=torch.zeros(5)).tolist() == [0, 1, 2]


def test_the_picks_do_not_depend_on_threads() -> None:
    rows = torch.randn(2000, 16, generator=generator(1))
    before, found = torch.get_num_threads(), []
    try:
        for num in (1, 2):
            torch.set_num_threads(num)
            found.append(max_herding(rows[100:], rows[:100], 20))
    finally:
        torch.set_num_threads(before)
    assert found[0].equal(found[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bandwidth": 0.0}, "`bandwidth` of max_herding to be a number of at least 1e-06, but got 0.0"),
        ({"bandwidth": 1e-20}, "`bandwidth` of max_herding to be a number of at least 1e-06, but got 1e-20"),
        ({"bandwidth": float("nan")}, "`bandwidth` of max_herding to be a number of at least 1e-06, but got nan"),
        ({"kernel": "linear"}, "`kernel` of max_herding to be rbf or tophat, but got 'linear'"),
        ({"weights": [1.0, -0.5, 1.0]}, "weights that are not negative, but got -0.5"),
        ({"weights": [1.0]}, "a weight for each of 3 rows, but got 1"),
        ({"weights": [1.0, torch.nan, 1.0]}, "finite weights"),
    ],
)
def test_bad_arguments_raise(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        max_herding(torch.eye(3), [], 1, **options)


# -------------------------------------------------------------------------------------------------------- the strategy


def test_the_strategy_covers_with_the_features_asked_for() -> None:
    pool = make_pool()
    expected = max_herding(pool.embeddings(), pool.labeled_embeddings(), 9, 0.4, "tophat")
    assert MaxHerding(0.4, "tophat").query(pool, 9, generator()).equal(expected)
    expected = max_herding(pool_inputs().flatten(1), [], 9)
    inputs = make_pool(labeled=pool_inputs()[:0])
    assert MaxHerding(features="inputs").query(inputs, 9, generator()).equal(expected)


def test_references_are_drawn_from_the_generator_if_the_pool_is_larger() -> None:
    pool = make_pool()
    references = torch.randperm(300, generator=generator(7))[:40].sort().values
    expected = max_herding(pool.embeddings(), pool.labeled_embeddings(), 9, references=references)
    assert MaxHerding(reference_size=40).query(pool, 9, generator(7)).equal(expected)
    whole = [MaxHerding(reference_size=size).query(pool, 9, generator(7)) for size in (None, 300, 10_000)]
    assert whole[0].equal(whole[1])
    assert whole[0].equal(whole[2])


def test_the_strategy_needs_no_label_and_no_logits() -> None:
    class NoLogits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("the strategy asks for logits")

    pool = make_pool(model=NoLogits(), labeled=pool_inputs()[:0])
    assert len(MaxHerding(features="inputs").query(pool, 9, generator(3)).unique()) == 9
    assert not MaxHerding.needs_predictions


@pytest.mark.parametrize("value", [0, 2.5])
def test_a_wrong_number_of_references_raises(value: float) -> None:
    with pytest.raises(InputError, match=f"`reference_size` of MaxHerding to be an integer of at least 1.*got {value}"):
        MaxHerding(reference_size=value)
