"""ALFA-Mix: its closed form is the mixing of features with each class mean."""

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.strategies import ALFAMix, alfa_mix
from al_lightning.strategies.alfa_mix import alfa_mix_query, smallest_caps
from tests.helpers import digits, fitted_model, generator, labeled_inputs, make_pool

P_VALUE = 1e-3


def mixing_changes(
    embeddings: Tensor, anchors: list[Tensor], weight: Tensor, bias: Tensor, cap: float, nudge: float = 0.0
) -> Tensor:
    """Whether a mixture with one of the class means changes the prediction: the paper's way, a pass for each mean."""
    z = embeddings.double().requires_grad_()
    logits = z @ weight.double().T + bias.double()
    predicted = logits.argmax(dim=1)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, predicted, reduction="sum"), z)
    z = z.detach()
    changed = torch.zeros(len(z), dtype=torch.bool)
    for anchor in anchors:
        away = anchor.double() - z
        lengths = away.norm(dim=1) / gradient.norm(dim=1)
        alpha = cap / z.shape[1] ** 0.5 * lengths[:, None] * gradient / (away + nudge)
        mixed = (1 - alpha) * z + alpha * (anchor.double() + nudge)
        changed |= (mixed @ weight.double().T + bias.double()).argmax(dim=1) != predicted
    return changed


def class_means(embeddings: Tensor, targets: Tensor) -> list[Tensor]:
    return [embeddings[targets == target].double().mean(dim=0) for target in targets.unique()]


def random_case(num_classes: int = 5, num_features: int = 7, size: int = 300, seed: int = 0) -> tuple[Tensor, ...]:
    noise = generator(seed)
    embeddings = torch.randn(size, num_features, generator=noise)
    labeled = torch.randn(40, num_features, generator=noise) + 1
    targets = torch.randint(num_classes, (40,), generator=noise)
    weight = torch.randn(num_classes, num_features, generator=noise)
    return embeddings, labeled, targets, weight, torch.randn(num_classes, generator=noise)


def digits_case() -> tuple[Tensor, ...]:
    pool = make_pool()
    head = fitted_model().head
    return pool.embeddings(), pool.labeled_embeddings(), pool.labeled_targets, head.weight.data, head.bias.data


def check_equals_mixing(case: tuple[Tensor, ...], nudge: float = 0.0) -> None:
    embeddings, labeled, targets, weight, bias = case
    caps = smallest_caps(*case)
    for cap in (1 / 32, 0.1, 0.4, 1.0):
        clear = (caps - cap).abs() > 1e-4 * cap  # on a boundary, rounding decides
        assert clear.float().mean() > 0.98
        expected = mixing_changes(embeddings, class_means(labeled, targets), weight, bias, cap, nudge)
        assert (caps < cap)[clear].equal(expected[clear])


# ---------------------------------------------------------------------------------------------------- the closed form


@pytest.mark.parametrize(("num_classes", "num_features"), [(2, 1), (2, 9), (5, 7), (30, 4)])
def test_equals_mixing_with_each_class_mean(num_classes, num_features):
    check_equals_mixing(random_case(num_classes, num_features))


def test_equals_mixing_on_digits():
    embeddings, labeled, *rest = digits_case()
    noise = 1e-3 * torch.rand(embeddings.shape, generator=generator())  # a feature that is 0 in both is 0/0 by mixing
    check_equals_mixing((embeddings + noise, labeled, *rest))


def test_two_classes_on_a_line_by_hand():
    labeled, targets = torch.tensor([[-5.0], [-3.0], [4.0]]), torch.tensor([0, 0, 1])  # means -4 and 4
    weight, bias = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, -0.5])  # equally likely at 0.5
    caps = smallest_caps([[1.5], [-2.5], [0.5], [7.0]], labeled, targets, weight, bias)
    assert caps.tolist() == pytest.approx([1 / 5.5, 3 / 6.5, 0, 6.5 / 11])


def test_only_classes_with_labels_have_a_mean():
    """Regression: with the classes 0, 2 and 5 labeled, the means of 0, 1 and 2 are taken, of which 1 is NaN
    (dal-toolbox)."""
    embeddings, labeled, targets, weight, bias = random_case(num_classes=6)
    seen = torch.tensor([0, 2, 5])[targets % 3]
    check_equals_mixing((embeddings, labeled, seen, weight, bias))
    far = torch.cat([labeled, torch.full((1, 7), 50.0)])
    caps = [smallest_caps(embeddings, far, torch.cat([seen, torch.tensor([c])]), weight, bias) for c in (5, 1)]
    assert (caps[1] < caps[0]).all()  # a class of its own is farther away


def test_the_mean_of_all_labels_for_a_class_without_any_changes_nothing():
    """The authors' code takes it. It is nearer than the farthest class mean, because it is a mean of these."""
    embeddings, labeled, targets, weight, bias = random_case()
    means = class_means(labeled, targets)
    for cap in (0.1, 0.4):
        expected = mixing_changes(embeddings, [*means, labeled.double().mean(dim=0)], weight, bias, cap)
        assert mixing_changes(embeddings, means, weight, bias, cap).equal(expected)


def test_features_that_equal_the_mean_are_moved_as_well():
    """By mixing they are 0/0. The closed form is the limit, which is what a mean a little beside them gives."""
    embeddings, labeled, targets, weight, bias = random_case()
    embeddings[:, 3], labeled[:, 3] = 0.0, 0.0  # a dead unit
    assert smallest_caps(embeddings, labeled, targets, weight, bias).isfinite().all()
    check_equals_mixing((embeddings, labeled, targets, weight, bias), nudge=1e-9)


def test_a_row_on_the_only_class_mean_is_no_candidate():
    embeddings, _, _, weight, bias = random_case()
    caps = smallest_caps(embeddings, embeddings[:1], torch.tensor([3]), weight, bias)
    assert caps[0] == torch.inf
    assert caps[1:].isfinite().all()


def test_confident_predictions_have_a_gradient():
    """Rounded probabilities of 0 and 1 have none: 0/0 in place of a direction."""
    embeddings, labeled, targets, weight, bias = random_case(num_classes=2)
    expected = smallest_caps(embeddings, labeled, targets, weight, bias)
    assert ((1e4 * (embeddings @ weight.T + bias)).softmax(dim=1).amax(dim=1) == 1).float().mean() > 0.9
    torch.testing.assert_close(smallest_caps(embeddings, labeled, targets, 1e4 * weight, 1e4 * bias), expected)


@pytest.mark.parametrize("common", [0.0, 100.0])
def test_what_all_classes_have_in_common_does_not_count(common):
    embeddings, labeled, targets, weight, bias = random_case()
    expected = smallest_caps(embeddings, labeled, targets, weight, bias)
    shifted = smallest_caps(embeddings, labeled, targets, weight + common, bias + common)
    torch.testing.assert_close(shifted, expected, rtol=1e-2, atol=1e-4)


def test_blocks_do_not_matter(monkeypatch):
    case = random_case()
    expected = smallest_caps(*case)
    monkeypatch.setattr(alfa_mix, "BLOCK_ROWS", 7)
    torch.testing.assert_close(smallest_caps(*case), expected)


# ---------------------------------------------------------------------------------------------------------- the query


def candidates_by_mixing(case: tuple[Tensor, ...], query_size: int, step: float) -> set[int]:
    """Lets the cap grow until there are more candidates than are queried, as the authors' loop does."""
    embeddings, labeled, targets, weight, bias = case
    found = torch.zeros(len(embeddings), dtype=torch.bool)
    cap = 0.0
    while cap < 1.0:
        cap += step
        found |= mixing_changes(embeddings, class_means(labeled, targets), weight, bias, cap)
        if found.sum() > query_size:
            break
    return set(found.nonzero().squeeze(1).tolist())


@pytest.mark.parametrize("query_size", [1, 20, 150, 299])
@pytest.mark.parametrize("step", [1 / 32, 0.25])
def test_candidates_are_those_of_growing_caps(monkeypatch, query_size, step):
    seen = []

    def spread(embeddings: Tensor, candidates: Tensor, *rest: object) -> Tensor:
        seen.append(set(candidates.tolist()))
        return candidates[:query_size]

    monkeypatch.setattr(alfa_mix, "spread_over", spread)
    case = random_case()
    alfa_mix_query(*case, query_size, generator(), step)
    assert seen == [candidates_by_mixing(case, query_size, step)]


def test_a_step_may_be_tiny():
    """Regression: a list of a billion caps takes all memory."""
    query = alfa_mix_query(*random_case(), 20, generator(), 1e-9)
    assert query.tolist() == alfa_mix_query(*random_case(), 20, generator(), 1e-8).tolist()


def test_no_candidate_is_random_with_a_warning():
    """Regression: without a candidate, a variable has no value, and np.int is no more (authors' code)."""
    embeddings, labeled, targets, weight, _ = random_case(size=6)
    counts = torch.zeros(6)
    shared = generator()

    def draw() -> None:
        for _ in range(600):
            counts[alfa_mix_query(embeddings, labeled, targets, 0 * weight, torch.zeros(5), 2, shared)] += 1

    with pytest.warns(UserWarning, match="ALFAMix finds fewer candidates"):
        draw()
    assert counts.sum() == 1200
    assert chisquare(counts.numpy()).pvalue > P_VALUE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labeled": 0}, "labeled samples for ALFAMix"),
        ({"targets": 39}, "a class for each of 40 labeled samples"),
        ({"features": 6}, "as many features .* 7, but got 7 and 6"),
        ({"step": 0.0}, "`cap_step` of ALFAMix to be above 0 and at most 1, but got 0.0"),
    ],
)
def test_what_does_not_go_together_raises(change, message):
    embeddings, labeled, targets, weight, bias = random_case()
    labeled = labeled[: change.get("labeled", 40)]
    targets = targets[: change.get("targets", len(labeled))]
    with pytest.raises(InputError, match=message):
        alfa_mix_query(
            embeddings,
            labeled,
            targets,
            weight[:, : change.get("features", 7)],
            bias,
            3,
            generator(),
            change.get("step", 0.1),
        )


@pytest.mark.parametrize("part", [0, 1, 3, 4], ids=["pool", "labeled", "weight", "bias"])
def test_nan_raises(part):
    case = [value.clone() for value in random_case()]
    case[part].view(-1)[3] = torch.nan
    with pytest.raises(InputError, match="finite"):
        alfa_mix_query(*case, 3, generator())


# ------------------------------------------------------------------------------------------------------- the strategy


def test_strategy_queries_by_the_head_and_the_labeled_samples():
    expected = alfa_mix_query(*digits_case(), 20, generator(4))
    assert ALFAMix().query(make_pool(), 20, generator(4)).equal(expected)
    assert not ALFAMix(1.0).query(make_pool(), 20, generator(4)).equal(expected)


def test_a_head_that_is_not_linear_raises():
    class Bent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(64, 8)
            self.last = nn.Linear(8, 10)

        def embed(self, x: Tensor) -> Tensor:
            return self.hidden(x.flatten(1))

        def head(self, embeddings: Tensor) -> Tensor:
            return self.last(embeddings).relu()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(x))

    with pytest.raises(InputError, match="head of the model to be linear"):
        ALFAMix().query(make_pool(model=Bent()), 5, generator())


def test_without_labels_it_raises():
    with pytest.raises(InputError, match="labeled samples for ALFAMix"):
        ALFAMix().query(make_pool(labeled=labeled_inputs()[:0]), 5, generator())


def test_targets_of_labeled_samples_are_the_ones_it_asks_for():
    pool = make_pool()
    assert pool.labeled_targets.equal(digits().train_targets[: len(labeled_inputs())])
