"""Consistency: the variance over augmentations, and nothing else."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from al_lightning.data.augmentations import RandomShift
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies import Consistency
from al_lightning.strategies.consistency import consistency_score
from tests.helpers import fitted_model, generator, make_pool, pool_inputs, random_probs


def random_views(size: int, num_views: int, num_classes: int, seed: int = 0) -> Tensor:
    return random_probs(num_views * size, num_classes, seed).view(num_views, size, num_classes)


def image_pool(block_size: int = 64, view_seed: int = 0) -> PoolPredictor:
    images = pool_inputs().view(-1, 8, 8)
    return make_pool(images, block_size=block_size, view_generator=generator(view_seed))


@pytest.mark.parametrize(("num_views", "num_classes"), [(2, 2), (4, 10), (51, 3)])
def test_is_the_sum_of_the_population_variances(num_views, num_classes):
    views = random_views(30, num_views, num_classes)
    expected = views.double().var(dim=0, correction=0).sum(dim=1)
    torch.testing.assert_close(consistency_score(views[0], views[1:]).double(), expected, atol=1e-6, rtol=1e-5)


def test_small_variances_do_not_cancel():
    """The mean of squares less the square of the mean would leave nothing of changes of 1e-5."""
    views = random_views(30, 20, 10).double()
    views = views[:1] + 1e-5 * (views - views[:1])
    expected = views.var(dim=0, correction=0).sum(dim=1)
    views = views.float()
    torch.testing.assert_close(consistency_score(views[0], views[1:]).double(), expected, atol=0, rtol=0.05)


def test_is_the_gini_analogue_of_mutual_information():
    views = random_views(30, 6, 5).double()
    gini = [1 - p.square().sum(dim=-1) for p in (views.mean(dim=0), views)]
    expected = gini[0] - gini[1].mean(dim=0)
    torch.testing.assert_close(consistency_score(views[0], views[1:]), expected)


def test_opposite_one_hots_have_a_half():
    one_hots = torch.eye(2)[:, None]
    assert consistency_score(one_hots[0], one_hots[1:]).tolist() == [0.5]


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_bounds(num_classes):
    views = random_views(500, 4, num_classes)
    views = torch.cat([views, nn.functional.one_hot(views.argmax(dim=2), num_classes).float()], dim=1)
    scores = consistency_score(views[0], views[1:])
    assert (scores >= 0).all()
    assert (scores <= 1 - 1 / num_classes + 1e-6).all()


@pytest.mark.parametrize("same", ["views", "classes"])
def test_order_does_not_matter(same):
    views = random_views(30, 6, 5)
    other = views[torch.randperm(6, generator=generator())] if same == "views" else views.flip(2)
    torch.testing.assert_close(consistency_score(views[0], views[1:]), consistency_score(other[0], other[1:]))


@pytest.mark.parametrize("block_size", [1, 7, 1000])
def test_the_whole_pool_sees_the_same_augmentations(block_size):
    pool = image_pool(block_size)
    query, scores = Consistency(9).answer(pool, 20, generator())
    seeds = torch.randint(2**62, (9,), generator=generator()).tolist()
    model = fitted_model().eval()
    images, views = pool_inputs().view(-1, 8, 8), []
    with torch.no_grad():
        for seed in [None, *seeds]:
            torch.manual_seed(seed or 0)
            views.append(model(images if seed is None else RandomShift()(images)).double().softmax(dim=1))
    fitted_model().train()
    expected = torch.stack(views).var(dim=0, correction=0).sum(dim=1)
    assert scores is not None
    torch.testing.assert_close(scores.double(), expected, atol=1e-6, rtol=1e-4)
    assert query.tolist() == expected.argsort(descending=True)[:20].tolist()


def test_what_is_augmented_alike_is_predicted_once(monkeypatch):
    calls = []
    model = fitted_model()
    embed = model.embed
    monkeypatch.setattr(model, "embed", lambda x: calls.append(len(x)) or embed(x))
    pools = [image_pool(block_size=1000) for _ in range(2)]
    answers, passes = [], []
    # a composition does not tell which of its draws are alike
    for pool, augmentation in zip(pools, [RandomShift(), v2.Compose([RandomShift()])], strict=True):
        calls.clear()
        answers.append(Consistency(50, augmentation).answer(pool, 20, generator()))
        passes.append(len(calls))
    assert passes == [10, 51]  # the images themselves and nine shifts, one of which is none
    assert answers[0].scores.equal(answers[1].scores)
    assert answers[0].positions.equal(answers[1].positions)


def test_other_views_give_other_scores():
    scores = [Consistency(5).scores(image_pool(view_seed=seed)) for seed in (0, 0, 1)]
    assert scores[0].equal(scores[1])
    assert not scores[0].equal(scores[2])


@pytest.mark.parametrize("augmentation", [nn.Identity(), RandomShift(0), v2.RandomHorizontalFlip(0.0)])
def test_an_augmentation_that_changes_nothing_raises(augmentation):
    with pytest.raises(InputError, match=f"to change images, but {type(augmentation).__name__} changed none"):
        Consistency(3, augmentation).query(image_pool(), 5, generator())


def test_a_draw_that_changes_nothing_is_no_error():
    """One in nine shifts of a pixel is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*share the acquisition score")
        answers = [Consistency(1).answer(image_pool(view_seed=seed), 5, generator()) for seed in range(40)]
    assert any(not answer.scores.any() for answer in answers)


def test_a_model_that_never_changes_its_mind_is_no_error():
    torch.manual_seed(0)
    model = fitted_model()
    images = pool_inputs().view(-1, 8, 8)

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def embed(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 3)

        def head(self, embeddings: Tensor) -> Tensor:
            return embeddings

    pool = make_pool(images, Constant())
    with pytest.warns(UserWarning, match="share the acquisition score"):
        assert Consistency(3).query(pool, 5, generator()).tolist() == [0, 1, 2, 3, 4]
    assert model.training


def test_too_few_augmentations_raise():
    with pytest.raises(InputError, match="`num_augmentations` of Consistency to be at least 1, but got 0"):
        Consistency(0)
