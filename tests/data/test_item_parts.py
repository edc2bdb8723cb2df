"""Items of three parts, and items with names, in whole runs: training steps get what a plain loader would give."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, default_collate

from al_lightning import BADGE, Consistency, DataModuleAdapter, DatasetPool, DropoutMLP, Entropy, MixMatch
from al_lightning.strategies import QueryStrategy
from tests.helpers import digits
from tests.test_loop import make_loop, make_trainer, rows, timeless

Make = Callable[[int, Tensor, int], Any]


class Parts(Dataset):
    """Digits as items of some form."""

    def __init__(self, make: Make, part: slice) -> None:
        self.make = make
        self.images, self.classes = digits().train_inputs[part], digits().train_targets[part]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.make(index, self.images[index], int(self.classes[index]))


class Net(L.LightningModule):
    """A module that a user wrote for these items."""

    def __init__(self, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        self.loss = loss

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any) -> Tensor:
        return self.loss(self, batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def of_pair(model: Net, batch: Any) -> Tensor:
    x, y = batch
    return F.cross_entropy(model(x), y)


def of_three(model: Net, batch: Any) -> Tensor:
    x, y, index = batch
    assert index.dtype == torch.int64
    assert index.shape == y.shape
    return F.cross_entropy(model(x), y)


def index_first(model: Net, batch: Any) -> Tensor:
    _, x, y = batch
    return F.cross_entropy(model(x), y)


def of_names(model: Net, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch["image"]), batch["label"])


FORMS: dict[str, tuple[Make, Callable[[Any, Any], Tensor]]] = {
    "pair": (lambda i, x, y: (x, y), of_pair),
    "index": (lambda i, x, y: (x, y, i), of_three),
    "index first": (lambda i, x, y: (i, x, y), index_first),
    "names": (lambda i, x, y: {"image": x, "label": y, "index": i, "file": "a.png"}, of_names),
}


def run(path: Path, make: Make, model: L.LightningModule, strategy: QueryStrategy | None = None, **kwargs: Any) -> None:
    loop = make_loop(path, strategy or Entropy(), num_rounds=1, reinit="initial")
    data = DatasetPool(Parts(make, slice(0, 300)), Parts(make, slice(300, 500)), num_initial=100, **kwargs)
    loop.run(make_trainer(loop, max_epochs=5), model, data)


def net(loss: Callable[[Any, Any], Tensor]) -> Net:
    torch.manual_seed(0)
    return Net(loss)


@pytest.mark.parametrize("form", ["index", "index first", "names"])
def test_the_run_is_that_of_pairs(tmp_path: Path, form: str) -> None:
    for name in ("pair", form):
        make, loss = FORMS[name]
        run(tmp_path / name, make, net(loss))
    assert timeless(tmp_path / form) == timeless(tmp_path / "pair")
    assert rows(tmp_path / form, "queries.csv") == rows(tmp_path / "pair", "queries.csv")
    assert float(rows(tmp_path / form)[-1]["test_acc"]) > 0.5


def test_extras_are_those_of_the_items_beside_them(tmp_path: Path) -> None:
    """The third part is the number of the sample: image and class must belong to this sample."""
    images, classes = digits().train_inputs[:300], digits().train_targets[:300]

    def of_sample(model: Net, batch: Any) -> Tensor:
        x, y, index = batch
        assert x.equal(images[index])
        assert y.equal(classes[index])
        return F.cross_entropy(model(x), y)

    run(tmp_path, FORMS["index"][0], net(of_sample))


class Masked(Net):
    """Takes two inputs, the second with or without a default."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        return self.net(x * mask)


def test_a_part_that_forward_takes_is_given_to_it(tmp_path: Path) -> None:
    def loss(model: Masked, batch: Any) -> Tensor:
        x, mask, y = batch
        return F.cross_entropy(model(x, mask), y)

    torch.manual_seed(0)
    run(tmp_path / "masked", lambda i, x, y: (x, torch.ones(64), y), Masked(loss))
    run(tmp_path / "pair", FORMS["pair"][0], net(of_pair))
    assert timeless(tmp_path / "masked") == timeless(tmp_path / "pair")


@pytest.mark.parametrize("form", ["index", "names"])
@pytest.mark.parametrize(
    ("model", "strategy"),
    [
        (lambda: DropoutMLP(64, 16), BADGE()),
        (lambda: MixMatch(64, 16, ramp_updates=2), Entropy()),
        (lambda: DropoutMLP(64, 16), Consistency(3)),
    ],
    ids=["mlp", "mixmatch", "consistency"],
)
def test_models_of_the_package_take_pairs(tmp_path: Path, form: str, model: Any, strategy: QueryStrategy) -> None:
    for name in ("pair", form):
        torch.manual_seed(0)
        make = FORMS[name][0]
        run(tmp_path / name, lambda i, x, y, make=make: make(i, x.view(8, 8), y), model(), strategy)
    assert timeless(tmp_path / form) == timeless(tmp_path / "pair")


@pytest.mark.parametrize("loss", [of_pair, of_names])
def test_where_the_input_is_named_a_batch_is_a_pair_as_well(tmp_path: Path, loss: Any) -> None:
    run(tmp_path / "names", FORMS["names"][0], net(loss), image_key="image", label_key="label")
    run(tmp_path / "pair", FORMS["pair"][0], net(of_pair))
    assert timeless(tmp_path / "names") == timeless(tmp_path / "pair")


def test_a_test_step_gets_whole_batches_too(tmp_path: Path) -> None:
    class Tested(Net):
        def test_step(self, batch: Any) -> None:
            right = self(batch["image"]).argmax(dim=1) == batch["label"]
            assert batch["file"] == ["a.png"] * len(right)
            self.log("test_acc", right.float().mean())

    torch.manual_seed(0)
    run(tmp_path / "names", FORMS["names"][0], Tested(of_names))
    run(tmp_path / "pair", FORMS["pair"][0], net(of_pair))
    tested = [[float(row["test_acc"]) for row in rows(tmp_path / name)] for name in ("names", "pair")]
    assert tested[0] == pytest.approx(tested[1], abs=1e-6)


def test_labels_of_people_take_the_place_of_those_of_the_items(tmp_path: Path) -> None:
    """All say 3: so does the model then."""
    data = DatasetPool(Parts(FORMS["names"][0], slice(0, 50)), Parts(FORMS["names"][0], slice(50, 90)), num_initial=5)
    data.setup()
    data.set_labeled(torch.arange(5), torch.full((5,), 3))
    (batch,) = data.train_dataloader()
    assert batch["label"].tolist() == [3] * 5
    assert sorted(batch["index"].tolist()) == list(range(5))
    (plain,) = DataLoader(Parts(FORMS["names"][0], slice(0, 5)), batch_size=5)
    assert list(batch) == list(plain)


def test_queries_have_the_true_labels(tmp_path: Path) -> None:
    run(tmp_path, FORMS["index first"][0], net(index_first))
    with (tmp_path / "queries.csv").open() as file:
        queries = list(csv.DictReader(file))
    classes = digits().train_targets[:300]
    assert all(int(classes[int(query["index"])]) == int(query["label"]) for query in queries)


def weighted(model: Net, batch: Any) -> Tensor:
    x, y, weight = batch
    return (F.cross_entropy(model(x), y, reduction="none") * weight).mean()


def test_weights_may_be_of_the_training_part_alone(tmp_path: Path) -> None:
    make = FORMS["pair"][0]
    data = DatasetPool(Parts(lambda i, x, y: (x, y, 1.0), slice(0, 300)), Parts(make, slice(300, 500)), num_initial=100)
    loop = make_loop(tmp_path / "weights", Entropy(), num_rounds=1, reinit="initial")
    loop.run(make_trainer(loop, max_epochs=5), net(weighted), data)
    run(tmp_path / "pair", make, net(of_pair))
    assert timeless(tmp_path / "weights") == timeless(tmp_path / "pair")


def mixed(items: list[Any]) -> Any:
    x, y = default_collate(items)
    share, order = torch.rand(()), torch.randperm(len(x))
    rows = F.one_hot(y, 10).float()
    return share * x + (1 - share) * x[order], share * rows + (1 - share) * rows[order]


class Mixing(L.LightningDataModule):
    """Mixes images in the collate function of its training loader, as torchvision's CutMix does."""

    def loader(self, part: slice, **kwargs: Any) -> DataLoader:
        return DataLoader(Parts(FORMS["pair"][0], part), batch_size=50, **kwargs)

    def train_dataloader(self) -> DataLoader:
        return self.loader(slice(0, 300), collate_fn=mixed)

    def pool_dataloader(self) -> DataLoader:
        return self.loader(slice(0, 300))

    def test_dataloader(self) -> DataLoader:
        return self.loader(slice(300, 500))


def test_mixing_is_for_training_alone_and_the_run_repeats(tmp_path: Path) -> None:
    for name in ("one", "two"):
        loop = make_loop(tmp_path / name, Entropy(), num_rounds=1, reinit="initial")
        loop.run(make_trainer(loop, max_epochs=5), net(of_pair), DataModuleAdapter(Mixing(), num_initial=100))
    assert timeless(tmp_path / "one") == timeless(tmp_path / "two")
    assert float(rows(tmp_path / "one")[-1]["test_acc"]) > 0.4
