"""The command that trains a network without labels: weights that others load, and going on after an interruption."""

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from al_lightning import Backbone
from al_lightning.cli import main
from al_lightning.cli.pretrain_log import COLUMNS, PretrainLog
from al_lightning.errors import InputError

WORDS = [
    "pretrain",
    "--config",
    "simclr",
    "--data",
    "al_lightning.Digits",
    "--trainer.accelerator",
    "cpu",
    "--trainer.max_epochs",
]


def pretrain(out: Path, *words: str, epochs: int = 2) -> None:
    main([*WORDS, str(epochs), "--out", str(out), *words])


def losses(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_photos_need_no_class(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(8):
        pixels = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(number))
        Image.fromarray((255 * pixels).byte().numpy()).save(tmp_path / "photos" / f"{number}.png")
    words = ["--data", "al_lightning.ImageFolder", "--data.root", str(tmp_path / "photos"), "--data.image_size", "8"]
    pretrain(tmp_path / "net.pt", *words, "--data.num_workers", "0", epochs=1)
    assert "no classes, 8 unlabeled images" in capsys.readouterr().out
    Backbone("small_cnn", num_classes=2, weights=str(tmp_path / "net.pt"))


class Torn(BaseException):
    """Ends a command, as a signal does."""


def test_a_command_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pretrain(tmp_path / "whole.pt", epochs=3)
    write = PretrainLog.on_train_epoch_end

    def torn(self: PretrainLog, trainer: object, pl_module: object) -> None:
        if len(self._rows) == 1:  # in the second epoch, before its checkpoint
            raise Torn
        write(self, trainer, pl_module)  # type: ignore[arg-type]

    monkeypatch.setattr(PretrainLog, "on_train_epoch_end", torn)
    with pytest.raises(Torn):
        pretrain(tmp_path / "torn.pt", epochs=3)
    monkeypatch.undo()
    assert not (tmp_path / "torn.pt").exists()

    with pytest.raises(SystemExit) as refused:
        pretrain(tmp_path / "torn.pt", "--model.temperature", "0.3", epochs=3)
    assert refused.value.code == 2
    assert "`model.temperature` to be 0.2, as in" in capsys.readouterr().err

    pretrain(tmp_path / "torn.pt", epochs=3)
    assert "Goes on after epoch 1 of 3." in capsys.readouterr().out
    whole, other = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "torn.pt"))
    assert whole.keys() == other.keys()
    assert all(value.equal(other[name]) for name, value in whole.items())
    tables = [losses(tmp_path / name) for name in ("whole.csv", "torn.csv")]
    assert [row["epoch"] for row in tables[0]] == ["1", "2", "3"]
    assert [row["train_loss"] for row in tables[0]] == [row["train_loss"] for row in tables[1]]
    assert {path.name for path in tmp_path.iterdir()} == {"whole.pt", "whole.csv", "torn.pt", "torn.csv"}

    model = Backbone("small_cnn", weights=str(tmp_path / "whole.pt"))  # what the weights are for
    assert all(value.equal(whole[name]) for name, value in model.body.state_dict().items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--out", "net.pt", "--model", "DropoutMLP"],
            "`model` to have a network `body`, as SimCLR has, but DropoutMLP",
        ),
        (["--out", "no/net.pt"], "`out` to be a file in a folder that exists, but there is no folder no"),
        (["--out", "net.ckpt"], "`out` to be a file with the ending .pt, but got net.ckpt"),
        (["--out", "there.pt"], "`out` to be a new file, but there is there.pt; delete it"),
        (["--out", "broken.pt"], "broken.ckpt to be a checkpoint of `al-lightning pretrain`, but it is none"),
        ([], "`--out`, the file of the weights, such as net.pt, but got none"),
        (["--out", "net.pt", "--model.views.erase", "2"], r"`model.views.erase` to be in \[0, 1\], but got 2"),
        (["--out", "net.pt", "--model.temprature", "2"], "temprature"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.pt").touch()
    Path("broken.ckpt").write_text("no checkpoint")
    with pytest.raises(SystemExit) as ended:
        main([*WORDS, "1", *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert message.replace("\\", "") in said


def test_a_table_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    class Trainer:
        current_epoch = 1
        max_epochs = 2
        is_global_zero = True

    (tmp_path / "net.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="net.csv to be the table of the losses, but its first row is"):
        PretrainLog(tmp_path / "net.csv").on_train_start(Trainer(), None)  # type: ignore[arg-type]
    (tmp_path / "net.csv").write_text(",".join(COLUMNS) + "\n1,2,3,4\n2,2,3,4\n")
    log = PretrainLog(tmp_path / "net.csv")
    log.on_train_start(Trainer(), None)  # type: ignore[arg-type]
    assert log._rows == [["1", "2", "3", "4"]]  # the second row is of an epoch without a checkpoint
