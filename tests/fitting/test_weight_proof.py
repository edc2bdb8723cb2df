"""Weights that an initialisation can make are distinguished from other weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from al_lightning.fitting.weight_proof import NUM_DRAWS, equal_groups, unlike_drawn

Draw = Callable[[torch.Generator], Tensor]


def uniform(generator: torch.Generator) -> Tensor:
    return torch.rand(40, 50, generator=generator) * 2 - 1


def normal(generator: torch.Generator) -> Tensor:
    return torch.randn(40, 50, generator=generator)


def draws(draw: Draw) -> list[dict[str, Tensor]]:
    return [{"w": draw(torch.Generator().manual_seed(seed))} for seed in range(NUM_DRAWS)]


@pytest.mark.parametrize("draw", [uniform, normal])
def test_weights_of_the_same_distribution_pass_with_any_seed(draw: Draw) -> None:
    drawn = draws(draw)
    for seed in range(100, 400):
        assert unlike_drawn({"w": draw(torch.Generator().manual_seed(seed))}, drawn) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w * 1.2,
        lambda w: w + 0.3,
        lambda w: torch.zeros_like(w),
        lambda w: torch.where(torch.arange(50) < 10, 0.0, w),  # a fifth of the columns pruned
        lambda w: w.sign(),
        lambda w: w * torch.nan,
    ],
)
@pytest.mark.parametrize("draw", [uniform, normal])
def test_weights_of_another_distribution_are_named(draw: Draw, change: Callable[[Tensor], Tensor]) -> None:
    given = {"w": change(draw(torch.Generator().manual_seed(9)))}
    name, how = unlike_drawn(given, draws(draw)) or ("", "")
    assert name == "w"
    assert how.startswith("its values")


def test_training_shows_in_the_range_of_uniform_weights() -> None:
    """Few steps move few weights beyond the bounds: the distribution as a whole hardly changes."""
    given = uniform(torch.Generator().manual_seed(9))
    given.view(-1)[:30] = 1.05
    assert unlike_drawn({"w": given}, draws(uniform)) is not None


def test_a_tensor_that_is_the_same_in_all_draws_was_loaded_and_has_to_be_that_one() -> None:
    loaded = normal(torch.Generator().manual_seed(5))
    drawn = [{"w": loaded} for _ in range(NUM_DRAWS)]
    assert unlike_drawn({"w": loaded.clone()}, drawn) is None
    assert unlike_drawn({"w": loaded + 0.01}, drawn) == ("w", "its values are others")


def test_copies_of_a_layer_have_to_be_drawn_as_copies() -> None:
    torch.manual_seed(0)
    layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3, enable_nested_tensor=False)
    groups = equal_groups(dict(layers.named_parameters()))
    assert ["layers.0.linear1.weight", "layers.1.linear1.weight", "layers.2.linear1.weight"] in groups
    given = {"a": normal(torch.Generator().manual_seed(9))}
    given["b"] = given["a"].clone()
    drawn = [{"a": part["w"], "b": other["w"]} for part, other in zip(draws(normal), draws(normal)[::-1], strict=True)]
    assert unlike_drawn(given, drawn) == ("b", "its values are those of a")


def test_few_values_prove_nothing_and_integers_are_not_compared() -> None:
    drawn = [{"w": torch.randn(4) * 0.01, "i": torch.randint(9, (100,))} for _ in range(NUM_DRAWS)]
    assert unlike_drawn({"w": torch.full((4,), 0.02) * torch.arange(4), "i": torch.arange(100)}, drawn) is None
