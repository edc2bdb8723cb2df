"""A run folder belongs to one experiment: another one is refused, or gets a folder of its own."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Subset, TensorDataset

from al_lightning import ActiveLearningLoop, DatasetPool, Entropy, Random
from al_lightning.errors import InputError

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(80, 8, generator=GENERATOR)
TARGETS = (INPUTS[:, 0] > 0).long()


class Net(L.LightningModule):
    def __init__(
        self,
        act: Callable[[], nn.Module] = nn.ReLU,
        width: int = 8,
        lr: float = 0.01,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, width), act(), nn.Dropout(0.5), nn.Linear(width, 2))
        self.lr, self.loss, self.schedule = lr, loss, schedule
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        self.steps += 1  # which a later run with the same object finds
        return self.loss(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        if self.schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self.schedule(optimizer)}


class Counting(Callback):
    def __init__(self, every: int = 1) -> None:
        self.every, self.count = every, 0

    def on_train_batch_end(self, *args: Any) -> None:
        self.count += 1


def data(inputs: Tensor = INPUTS, targets: Tensor = TARGETS, num_test: int = 20, **kwargs: Any) -> DatasetPool:
    whole = TensorDataset(inputs, targets)
    train, test = Subset(whole, range(20, 80)), Subset(whole, range(num_test))
    return DatasetPool(train, test, num_initial=6, **kwargs)


def fit(
    model: L.LightningModule,
    datamodule: DatasetPool | None = None,
    run_dir: str | None = "run",
    rounds: int = 0,
    callbacks: tuple[Callback, ...] = (),
    seed: int = 0,
    **trainer: Any,
) -> None:
    loop = ActiveLearningLoop(Entropy(), 3, rounds, run_dir=run_dir, seed=seed)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = L.Trainer(max_epochs=2, callbacks=[loop, *callbacks], **{**quiet, **trainer})
        loop.run(made, model, datamodule or data())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def changed(position: int, amount: float = 0.5) -> Tensor:
    """The inputs with one other value."""
    inputs = INPUTS.clone()
    inputs[position, 3] += amount
    return inputs


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one round, made once."""
    path = tmp_path_factory.mktemp("begun") / "run"
    fit(Net(), run_dir=str(path))
    return path


@pytest.mark.parametrize("row", [0, 150, 299])
def test_each_row_of_a_small_data_set_counts(row: int) -> None:
    inputs = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    targets = (inputs[:, 0] > 0).long()
    test = TensorDataset(INPUTS[:20], TARGETS[:20])
    fit(Net(), DatasetPool(TensorDataset(inputs, targets), test, num_initial=6))
    other = inputs.clone()
    other[row, 3] += 0.25
    with pytest.raises(InputError, match="training inputs .* the values changed"):
        fit(Net(), DatasetPool(TensorDataset(other, targets), test, num_initial=6), rounds=1)


def dropout(p: float) -> Net:
    net = Net()
    net.net[2] = nn.Dropout(p)
    return net


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (lambda: fit(Net(nn.Tanh)), r"`net.1` was torch.ReLU\(\) and is torch.Tanh\(\)"),
        (lambda: fit(Net(width=9)), "`net.0` was"),
        (lambda: fit(dropout(0.2)), "`net.2` was"),
        (lambda: fit(Net(lr=0.1)), r"`self.lr` was 0\.01 and is 0\.1"),
        (lambda: fit(Net(loss=F.multi_margin_loss)), "`self.loss` was torch.nn.functional.cross_entropy and is"),
        (lambda: fit(Net(loss=lambda x, y: 2 * F.cross_entropy(x, y))), "`self.loss` was"),
        (lambda: fit(Net(), data(INPUTS * 100)), "training inputs .* the values changed"),
        (lambda: fit(Net(), data(changed(50))), "training inputs .* the values changed"),
        (lambda: fit(Net(), data(changed(5))), "test set .* of its inputs the values changed"),
        (lambda: fit(Net(), data(num_test=19)), "test set .* it had 20 samples and has 19"),
        (
            lambda: fit(Net(), data(targets=torch.cat([1 - TARGETS[:1], TARGETS[1:]]))),
            "test set .* its classes changed",
        ),
        (
            lambda: fit(Net(), callbacks=(StochasticWeightAveraging(0.1),)),
            "`lightning.StochasticWeightAveraging` is new",
        ),
        (lambda: fit(Net(), gradient_clip_val=0.5), "`gradient_clip_val` was None and is 0.5"),
        (lambda: fit(Net(), accumulate_grad_batches=2), "`accumulate_grad_batches` was 1 and is 2"),
    ],
)
def test_another_experiment_is_refused_by_what_differs(begun: Path, experiment: Callable[[], None], words: str) -> None:
    shutil.copytree(begun, "run")
    before = {path.name: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}
    with pytest.raises(InputError, match=words):
        experiment()
    assert {path.name: path.read_bytes() for path in Path("run").iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "experiment",
    [
        lambda: fit(Net(), rounds=1),
        lambda: fit(Net(), data(num_workers=1), rounds=1),
        lambda: fit(Net(), data(INPUTS * (1 + 1e-7)), rounds=1),
        lambda: fit(Net(), rounds=1, logger=CSVLogger("logs"), callbacks=(LearningRateMonitor(),), profiler="simple"),
        lambda: fit(Net(), rounds=1, enable_checkpointing=True),
    ],
)
def test_the_same_experiment_goes_on(begun: Path, experiment: Callable[[], None]) -> None:
    shutil.copytree(begun, "run")
    experiment()
    assert len(Path("run/rounds.csv").read_text().splitlines()) == 3


def test_the_same_objects_go_on_in_a_notebook() -> None:
    model, datamodule, counting = Net(schedule=lambda o: torch.optim.lr_scheduler.StepLR(o, 1)), data(), Counting()
    for rounds in (0, 1, 1):
        fit(model, datamodule, rounds=rounds, callbacks=(counting,))
    assert model.steps > 0
    assert counting.count > 0
    assert len(Path("run/rounds.csv").read_text().splitlines()) == 3
    model.lr = 0.1
    with pytest.raises(InputError, match="lr"):
        fit(model, datamodule, rounds=1, callbacks=(counting,))


class MySWA(StochasticWeightAveraging):
    pass


def test_a_callback_of_ones_own_may_only_watch_and_is_said_to_have_come_or_gone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit(Net(), rounds=1)
    told = []
    given: list[tuple[Callback, ...]] = [(Counting(),), (Counting(),), (Counting(2),), ()]
    for rounds, callbacks in enumerate(given, start=2):
        capsys.readouterr()
        fit(Net(), rounds=rounds, callbacks=callbacks, enable_progress_bar=True)
        told += [line for line in capsys.readouterr().out.splitlines() if "may differ" in line]
    with pytest.raises(InputError, match="MySWA` is new"):
        fit(Net(), rounds=6, callbacks=(MySWA(0.1),))
    start = (
        "The rounds to come may differ from those of a run that was not stopped, for these changed: callback Counting"
    )
    assert told == [
        f"{start} ({words})." for words in ("here, not there", "other arguments or code", "there, not here")
    ]


def test_a_schedule_counts_and_has_no_address(begun: Path) -> None:
    shutil.copytree(begun, "run")
    with pytest.raises(InputError, match=r"`self.schedule` was None and is tests.test_other_experiments"):
        fit(Net(schedule=lambda o: torch.optim.lr_scheduler.StepLR(o, 1)), rounds=1)
    for rounds in (0, 1):
        fit(Net(schedule=lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda e: 0.9**e)), run_dir="s", rounds=rounds)
    assert "0x" not in Path("s/config.yaml").read_text() + Path("s/commit.json").read_text()


def test_without_a_folder_each_experiment_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Net(), run_dir=None)
    fit(Net(nn.Tanh), run_dir=None)
    words = "runs/entropy_net has runs of another experiment: this run is in runs/entropy_net-2/seed0."
    assert words in capsys.readouterr().out
    fit(Net(nn.Tanh), run_dir=None, rounds=1)
    fit(Net(nn.Tanh), run_dir=None, seed=1)
    fit(Net(), run_dir=None, rounds=2)
    lines = {str(path): len(path.read_text().splitlines()) - 1 for path in Path("runs").rglob("rounds.csv")}
    assert lines == {
        "runs/entropy_net/seed0/rounds.csv": 3,
        "runs/entropy_net-2/seed0/rounds.csv": 2,
        "runs/entropy_net-2/seed1/rounds.csv": 1,
    }
    reference = {}
    for act in (nn.ReLU, nn.Tanh):  # alone, in folders of their own
        fit(Net(act), run_dir=act.__name__, rounds=1)
        reference[act] = Path(act.__name__, "queries.csv").read_text().splitlines()[:10]
    assert Path("runs/entropy_net/seed0/queries.csv").read_text().splitlines()[:10] == reference[nn.ReLU]
    assert Path("runs/entropy_net-2/seed0/queries.csv").read_text().splitlines()[:10] == reference[nn.Tanh]
    assert reference[nn.ReLU] != reference[nn.Tanh]


def test_a_run_that_knows_less_of_itself_goes_on_and_then_knows_it(begun: Path) -> None:
    import json

    shutil.copytree(begun, "run")
    commit = json.loads(Path("run/commit.json").read_text())
    commit["data"] = {name: commit["data"][name] for name in ("samples", "classes")}  # as of version 0.1.0
    Path("run/commit.json").write_text(json.dumps(commit))
    fit(Net(), rounds=1)
    known = json.loads(Path("run/commit.json").read_text())["data"]
    assert known["model"]["net.1"] == "torch.ReLU()"
    with pytest.raises(InputError, match="`net.1` was"):
        fit(Net(nn.Tanh), rounds=1)


def test_a_class_whose_file_was_edited_is_refused_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked_python: str
) -> None:
    import subprocess

    source = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))

    def forward(self, x):
        return self.layers(x)
"""

    def run(text: str, rounds: int) -> str:
        Path("small_net.py").write_text(text)
        words = ["fit", "--data", "al_lightning.Digits", "--model", "Classifier", "--model.network", "small_net.Small"]
        words += ["--data.num_initial", "20", "--loop.num_rounds", str(rounds), "--loop.query_size", "5"]
        words += ["--trainer.max_epochs", "1", "--loop.run_dir", "run"]
        code = "import sys; sys.dont_write_bytecode = True; from al_lightning.cli import main; main(sys.argv[1:])"
        done = subprocess.run([forked_python, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 2), done.stderr
        return done.stderr.strip().splitlines()[-1] if done.returncode else ""

    assert run(source, 0) == ""
    assert run(source.replace("import torch\n", "# my network\nimport torch\n"), 1) == ""
    assert "`network.layers.2` was torch.ReLU() and is torch.Tanh()" in run(source.replace("ReLU", "Tanh"), 2)
    assert "code of the run in run, but that of small_net.Small was edited" in run(
        source.replace("self.layers(x)", "self.layers(x.tanh())"), 2
    )
    assert len(Path("run/rounds.csv").read_text().splitlines()) == 3


def test_the_strategy_of_a_run_counts(begun: Path) -> None:
    shutil.copytree(begun, "run")
    loop = ActiveLearningLoop(Random(), 3, 0, run_dir="run")
    trainer = L.Trainer(max_epochs=2, callbacks=[loop], logger=False, enable_checkpointing=False, accelerator="cpu")
    with pytest.raises(InputError, match=r"`loop.strategy`"):
        loop.run(trainer, Net(), data())
