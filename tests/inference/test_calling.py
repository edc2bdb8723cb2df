"""How a model is called with tensors by name, with one tensor, and with several in a row."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from al_lightning.data.inputs import count_rows, describe, map_tensors, split_rows, take_rows, tensors_of
from al_lightning.errors import InputError
from al_lightning.inference.calling import call, narrowed

IDS, MASK, INDEX = torch.arange(6).view(2, 3), torch.ones(2, 3), torch.tensor([7, 8])


class Returns(nn.Module):
    """A network whose `forward` returns what it was given."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.forward = forward


def keywords(**batch: Tensor) -> Any:
    return batch


def tokens(input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None) -> Any:
    return input_ids, attention_mask, labels


def with_options(x: Tensor, return_features: bool = False) -> Any:
    return x, return_features


def with_labels(x: Tensor, y: Tensor | None = None) -> Any:
    return x, y


def pair(x: Tensor, z: Tensor) -> Any:
    return x, z


def tensor(x: Tensor) -> Any:
    return x.sum(dim=1)


def mapping(batch: dict[str, Tensor]) -> Any:
    return batch["ids"]


def test_a_tensor_is_the_argument() -> None:
    assert call(Returns(tensor), IDS).tolist() == [3, 12]


def test_names_are_keyword_arguments_and_labels_get_nothing() -> None:
    batch = {"input_ids": IDS, "attention_mask": MASK, "index": INDEX, "labels": INDEX}
    ids, mask, labels = call(Returns(tokens), batch)
    assert ids is IDS
    assert mask is MASK
    assert labels is None
    assert call(Returns(keywords), {"a": IDS, "b": MASK}) == {"a": IDS, "b": MASK}


def test_a_model_with_one_parameter_gets_the_mapping_or_the_one_tensor() -> None:
    for _ in range(2):  # found once, the same after that
        assert call(Returns(mapping), {"ids": IDS, "index": INDEX}) is IDS
        model = Returns(tensor)
        assert call(model, {"image": IDS, "index": INDEX}).tolist() == [3, 12]
        assert call(model, {"image": IDS + 1, "index": INDEX}).tolist() == [6, 15]


def test_a_mapping_that_fits_nothing_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="inputs to have z, which `forward` of Returns takes, but got x, index"):
        call(Returns(pair), {"x": IDS, "index": INDEX})
    with pytest.raises(InputError, match="parameters named a, b, or to take them as one mapping.*`data.image_key`"):
        call(Returns(tensor), {"a": IDS, "b": MASK})


def test_of_several_inputs_a_model_gets_those_it_has_parameters_for() -> None:
    assert call(Returns(tokens), (IDS, MASK)) == (IDS, MASK, None)
    assert call(Returns(tokens), (IDS, INDEX)) == (IDS, None, None)  # a number of each sample is no mask
    assert call(Returns(with_options), (IDS, MASK)) == (IDS, False)
    assert call(Returns(with_labels), (IDS, MASK)) == (IDS, None)
    assert call(Returns(pair), (IDS, INDEX)) == (IDS, INDEX)
    assert narrowed(Returns(tensor), (IDS, MASK)) is IDS
    with pytest.raises(InputError, match=r"Returns to take 1 inputs, as items have, but it takes x, z"):
        call(Returns(pair), (IDS,))


def test_blocks_of_any_structure_are_taken_apart_by_rows() -> None:
    block = {"ids": IDS, "more": (MASK, "a name")}
    assert count_rows(block) == 2
    assert [tensor.shape for tensor in tensors_of(block)] == [(2, 3), (2, 3)]
    assert take_rows(block, slice(1))["more"][0].shape == (1, 3)
    assert [part["ids"].tolist() for part in split_rows(block, 1)] == [[[0, 1, 2]], [[3, 4, 5]]]
    assert [part.tolist() for part in split_rows(IDS, 1)] == [[[0, 1, 2]], [[3, 4, 5]]]
    assert map_tensors(lambda part: part + 1, block)["ids"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert describe((IDS, INDEX)) == "shapes 0: (3,), 1: ()"
