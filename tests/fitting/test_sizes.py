"""A run whose model takes its sizes from the data is the run of a model with these sizes, to the bit."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
import yaml
from torch import Tensor, nn

from al_lightning import Classifier, DropoutMLP, Entropy, FileOracle, InputError
from al_lightning.cli import main
from al_lightning.data import Arrays
from al_lightning.data.blocks import TensorBlocks
from al_lightning.fitting import model_contract
from al_lightning.fitting.model_contract import check_model, settle_classes
from al_lightning.fitting.model_maker import maker_of
from al_lightning.inference import PoolPredictor
from tests.digits import FlatDigits
from tests.own_models import ForwardOnly
from tests.test_loop import make_loop, make_trainer, rows, timeless

HIDDEN = 16


class FewDigits(FlatDigits):
    """The first digits: as many classes as names."""

    def __init__(self, names: tuple[str, ...] | None = ("0", "1", "2"), first: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"num_initial": 20, **kwargs})
        self.class_names = names  # type: ignore[assignment]
        self.first = first

    def load(self) -> Arrays:
        arrays = super().load()
        train, test = ((t >= self.first) & (t < self.first + 3) for t in (arrays.train_targets, arrays.test_targets))
        return Arrays(
            arrays.train_inputs[train],
            arrays.train_targets[train],
            arrays.test_inputs[test],
            arrays.test_targets[test],
        )


def numbered() -> FewDigits:
    """Classes with the numbers 1 to 3, and no names."""
    return FewDigits(None, first=1)


def fit(run_dir: Path, model: Any, data: FlatDigits | None = None, **kwargs: Any) -> None:
    loop = make_loop(run_dir, Entropy(), **{"num_rounds": 1, **kwargs})
    loop.run(make_trainer(loop), model, data or FewDigits())


def bits(run_dir: Path) -> list[Any]:
    return [timeless(run_dir), rows(run_dir, "queries.csv")]


def sizes_in_config(run_dir: Path) -> tuple[int, int]:
    arguments = yaml.safe_load((run_dir / "config.yaml").read_text())["model"]["init_args"]
    return arguments["input_dim"], arguments["num_classes"]


def mlp(**sizes: int) -> DropoutMLP:
    return DropoutMLP(hidden_dim=HIDDEN, **sizes)


@pytest.fixture(scope="module")
def explicit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose sizes are given."""
    path = tmp_path_factory.mktemp("explicit")
    fit(path, mlp(input_dim=64, num_classes=3))
    return path


@pytest.mark.parametrize("make", [mlp, lambda: mlp], ids=["object", "callable"])
def test_a_run_without_sizes_is_the_run_of_the_sizes_of_its_data(
    tmp_path: Path, explicit: Path, make: Callable[[], Any]
) -> None:
    fit(tmp_path, make())
    assert bits(tmp_path) == bits(explicit)
    assert sizes_in_config(tmp_path) == (64, 3)
    hparams = torch.load(tmp_path / "model.ckpt", weights_only=True)["hyper_parameters"]
    assert (hparams["input_dim"], hparams["num_classes"]) == (64, 3)
    assert DropoutMLP.load_from_checkpoint(tmp_path / "model.ckpt")(torch.zeros(2, 64)).shape == (2, 3)


@pytest.mark.parametrize(("first", "then"), [({}, {"input_dim": 64, "num_classes": 3}), ({"num_classes": 3}, {})])
def test_a_run_goes_on_with_and_without_sizes(tmp_path: Path, first: dict[str, int], then: dict[str, int]) -> None:
    fit(tmp_path / "whole", mlp(), num_rounds=2)
    fit(tmp_path / "parts", mlp(**first))
    fit(tmp_path / "parts", mlp(**then), num_rounds=2)
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")


@pytest.mark.parametrize("reinit", ["initial", "warm"])
def test_kept_weights_have_the_sizes_of_the_data(tmp_path: Path, reinit: str) -> None:
    for name, sizes in (("given", {"input_dim": 64, "num_classes": 3}), ("taken", {})):
        torch.manual_seed(0)
        fit(tmp_path / name, mlp(**sizes), reinit=reinit)
    assert bits(tmp_path / "taken") == bits(tmp_path / "given")


def test_the_command_line_takes_sizes_from_the_data_in_fit_and_test(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = ["--data", "al_lightning.Digits", "--data.num_initial", "50"]
    flags = [*data, "--model.hidden_dim", "16", "--loop.query_size", "10", "--loop.num_rounds", "1"]
    flags += ["--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false", "--loop.run_dir"]
    main(["fit", *flags, str(tmp_path / "taken")])
    main(["fit", *flags, str(tmp_path / "given"), "--model.input_dim", "64", "--model.num_classes", "10"])
    assert bits(tmp_path / "taken") == bits(tmp_path / "given")
    assert sizes_in_config(tmp_path / "taken") == (64, 10)
    accuracy = float(rows(tmp_path / "taken")[-1]["test_acc"])
    capsys.readouterr()
    main(["test", *data, "--ckpt_path", str(tmp_path / "taken" / "model.ckpt")])
    printed = re.search(r"test_acc│([0-9.e-]+)", capsys.readouterr().out.replace(" ", ""))
    assert printed is not None
    assert float(printed[1]) == pytest.approx(accuracy, rel=1e-5)


# ------------------------------------------------------------------------------------------------- numbers that differ


@pytest.mark.parametrize("number", [2, 10])
def test_a_number_that_is_not_that_of_the_data_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError) as raised:
        fit(tmp_path / "run", mlp(num_classes=number))
    assert str(raised.value) == (
        f"Expected `model.num_classes` to be 3, the number of classes of FewDigits (0, 1, 2), but got {number}; "
        "without this setting, the model takes it from the data."
    )
    assert not (tmp_path / "run").exists()


def test_a_dimension_that_is_not_that_of_the_data_is_refused() -> None:
    with pytest.raises(InputError) as raised:
        check_model(mlp(input_dim=784, num_classes=3), FewDigits())
    assert str(raised.value) == (
        "Expected `model.input_dim` to be 64, the number of values of a sample of shape (64,), but got 784; "
        "without this setting, the model takes it from the data."
    )


def network(num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, num_outputs))


def test_a_network_must_have_an_output_for_each_class() -> None:
    model = Classifier(network(5))
    settle_classes(model, FewDigits())
    sentence = r"the model Classifier of the network Sequential to return 3 logits .* \(0, 1, 2\), but got 5\.$"
    with pytest.raises(InputError, match=sentence):
        check_model(model, FewDigits())
    with pytest.raises(InputError, match=r"`model.num_classes` to be 3, .*, but got 5; without this setting"):
        check_model(Classifier(network(3), 5), FewDigits())
    check_model(Classifier(network(3), 3), FewDigits())


def test_a_model_of_ones_own_is_checked_and_not_changed() -> None:
    class Own(ForwardOnly):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net.fc = nn.Linear(16, num_classes)

    model = Own(10)
    settle_classes(model, FewDigits())
    with pytest.raises(InputError, match=r"`model.num_classes` to be 3, .* \(0, 1, 2\), but got 10\.$"):
        check_model(model, FewDigits())
    check_model(Own(3), FewDigits())


def test_one_logit_is_enough_for_two_classes() -> None:
    class Own(ForwardOnly):
        def __init__(self) -> None:
            super().__init__()
            self.net.fc = nn.Linear(16, 1)
            self.save_hyperparameters({"num_classes": 1})

    class Two(FlatDigits):
        def load(self) -> Arrays:
            arrays = super().load()
            return arrays._replace(train_targets=arrays.train_targets % 2, test_targets=arrays.test_targets % 2)

    check_model(Own(), Two())
    with pytest.raises(InputError, match=r"`model.num_classes` to be 10, .*, but got 1\.$"):
        check_model(Own(), FlatDigits())


def test_one_class_is_nothing_to_choose_from() -> None:
    class One(FlatDigits):
        def load(self) -> Arrays:
            arrays = super().load()
            return arrays._replace(train_targets=arrays.train_targets * 0, test_targets=arrays.test_targets * 0)

    model, data = mlp(), One()
    settle_classes(model, data)
    with pytest.raises(InputError, match=r"at least 2 classes to choose from, but got the 1 classes of One \(0\)\."):
        check_model(model, data)


# ----------------------------------------------------------------------------------------------------- other classes


def test_classes_that_are_numbers_with_gaps_are_counted() -> None:
    data = numbered()
    with pytest.warns(UserWarning, match="3 classes of FewDigits are the numbers from 1 to 3"):
        data.setup()
    keeps = mlp(num_classes=4)
    settle_classes(keeps, data)
    assert data.list_class_names() == ["0", "1", "2", "3"]
    model = mlp()
    settle_classes(model, data)
    assert data.list_class_names() == ["1", "2", "3"]
    assert model.head.out_features == 3
    check_model(model, data)
    model = Classifier(network(4))
    settle_classes(model, data)
    assert data.list_class_names() == ["0", "1", "2", "3"]
    assert model.hparams["num_classes"] == 4
    check_model(model, data)


def test_an_object_may_go_from_one_data_set_to_another(tmp_path: Path) -> None:
    model = mlp()
    settle_classes(model, FlatDigits())
    first = maker_of(model)
    settle_classes(model, FlatDigits())
    assert maker_of(model) is first
    fit(tmp_path / "second", model)
    fit(tmp_path / "fresh", mlp())
    assert bits(tmp_path / "second") == bits(tmp_path / "fresh")


def test_loggers_see_the_numbers() -> None:
    model = mlp()
    settle_classes(model, FewDigits())
    assert dict(model.hparams_initial) == {"input_dim": 64, "hidden_dim": HIDDEN, "num_classes": 3, "dropout": 0.5}


# ------------------------------------------------------------------------------------------ runs of earlier versions


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Calls a function as an earlier version did: more outputs than classes are no mistake."""

    def call(function: Callable[[], None]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(model_contract, "_check_num_classes", lambda *args, **kwargs: None)
            function()

    return call


@pytest.mark.parametrize("given", [{}, {"num_classes": 10}])
def test_a_run_with_more_outputs_than_classes_goes_on(
    tmp_path: Path, as_before: Callable[[Callable[[], None]], None], given: dict[str, int]
) -> None:
    as_before(lambda: fit(tmp_path / "whole", mlp(num_classes=10), num_rounds=2))
    as_before(lambda: fit(tmp_path / "parts", mlp(num_classes=10)))
    fit(tmp_path / "parts", mlp(**given), num_rounds=2)
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")
    assert sizes_in_config(tmp_path / "parts") == (64, 10)
    predicted = {row["predicted"] for row in rows(tmp_path / "parts", "queries.csv")}
    assert predicted <= {"", "0", "1", "2"}
    with pytest.raises(InputError, match="to be 3, the number of classes"):
        fit(tmp_path / "new", mlp(num_classes=10))


def test_questions_of_an_earlier_version_are_answered_with_its_outputs(
    tmp_path: Path, as_before: Callable[[Callable[[], None]], None]
) -> None:
    class Unlabeled(FewDigits):
        def load(self) -> Arrays:
            arrays = super().load()
            targets = arrays.train_targets.clone()
            targets[30:] = -1
            return arrays._replace(train_targets=targets)

    as_before(lambda: fit(tmp_path, mlp(num_classes=10), Unlabeled(), oracle=FileOracle()))
    asked = rows(tmp_path, "asked.csv")
    assert {row["predicted"] for row in asked} <= {"0", "1", "2"}
    fit(tmp_path, mlp(), Unlabeled(), oracle=FileOracle())  # still waits
    assert rows(tmp_path, "asked.csv") == asked
    assert sizes_in_config(tmp_path) == (64, 10)


def test_numbers_with_gaps_stay_those_of_the_run(
    tmp_path: Path, as_before: Callable[[Callable[[], None]], None]
) -> None:
    as_before(lambda: fit(tmp_path, mlp(num_classes=10), numbered()))
    labels = {row["label"] for row in rows(tmp_path, "queries.csv")}
    assert labels == {"1", "2", "3"}
    fit(tmp_path, mlp(), numbered(), num_rounds=2)
    assert {row["label"] for row in rows(tmp_path, "queries.csv")} == labels
    assert len(rows(tmp_path)) == 3


def test_another_run_in_the_folder_decides_nothing(
    tmp_path: Path, as_before: Callable[[Callable[[], None]], None]
) -> None:
    as_before(lambda: fit(tmp_path, mlp(num_classes=10)))
    with pytest.raises(InputError, match="Expected the settings of the run in"):
        fit(tmp_path, mlp(), FewDigits(("a", "b", "c"), num_initial=30))
    with pytest.raises(InputError, match="to be 3, the number of classes"):
        fit(tmp_path, type("Other", (DropoutMLP,), {})(num_classes=10))


def test_predictions_are_among_the_classes() -> None:
    """Known answer: the outputs are the inputs, of which the last two are no classes."""

    class Outputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return x

    probs = torch.tensor([[0.1, 0.2, 0.6, 0.1], [0.4, 0.3, 0.1, 0.2]])
    pool = PoolPredictor(Outputs(), probs.log())
    confidences, classes = pool.predicted(2, TensorBlocks(probs.log()))
    assert classes.tolist() == [1, 0]
    torch.testing.assert_close(confidences, torch.tensor([0.2, 0.4]))


def test_a_lazy_network_is_made_after_its_sizes(tmp_path: Path) -> None:
    class Lazy(DropoutMLP):
        def __init__(self) -> None:
            super().__init__(hidden_dim=HIDDEN)
            self.more = nn.LazyLinear(HIDDEN)

        def embed(self, x: Tensor) -> Tensor:
            return self.more(super().embed(x))

    model: L.LightningModule = Lazy()
    fit(tmp_path, lambda: Lazy())
    settle_classes(model, FewDigits())
    check_model(model, FewDigits())
    assert len(rows(tmp_path)) == 2
