"""PretrainedMLP: the features of a run's model, or a sentence with the reason why there are none."""

from pathlib import Path

import pytest
import torch

from al_lightning import DropoutMLP, InputError, PretrainedMLP
from al_lightning.cli import main


def save(path: Path, model: torch.nn.Module) -> Path:
    torch.save({"state_dict": model.state_dict()}, path)
    return path


def test_features_are_those_of_the_model_without_dropout(tmp_path: Path) -> None:
    model = DropoutMLP(64, 32, 10)
    features = PretrainedMLP(str(save(tmp_path / "model.ckpt", model)))
    inputs = torch.randn(7, 8, 8)
    assert features(inputs).equal(model.eval().embed(inputs))
    assert features.train()(inputs).equal(model.embed(inputs))


OTHERS = {"linear": torch.nn.Linear(2, 3), "norm": torch.nn.LayerNorm(4), "convolution": torch.nn.Conv2d(3, 4, 2)}


@pytest.mark.parametrize("content", ["nothing", "text", "empty", "tensor", "number", *OTHERS])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.ckpt"
    if content == "text":
        path.write_text("hello")
    elif content == "empty":
        path.touch()
    elif content == "tensor":
        torch.save(torch.zeros(3), path)
    elif content == "number":
        torch.save({"state_dict": {"hidden.weight": 3, "hidden.bias": 4}}, path)
    elif content == "linear":
        save(path, OTHERS[content])
    elif content in OTHERS:
        save(path, torch.nn.ModuleDict({"hidden": OTHERS[content]}))
    expected = "there is no file" if content == "nothing" else "to be the checkpoint of a DropoutMLP, but it is none"
    with pytest.raises(InputError, match=expected):
        PretrainedMLP(str(path))


def test_core_set_in_the_features_of_a_run_which_are_to_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    digits = [
        "--data",
        "al_lightning.Digits",
        "--model.input_dim",
        "64",
        "--data.num_initial",
        "50",
        "--trainer.max_epochs",
        "3",
    ]
    main(["fit", *digits, "--loop.num_rounds", "0", "--loop.run_dir", str(tmp_path / "first")])
    flags = ["--loop.strategy", "CoreSet", "--loop.query_size", "20", "--loop.num_rounds", "1"]
    flags += ["--loop.strategy.features", "PretrainedMLP", "--loop.strategy.features.checkpoint"]
    first = tmp_path / "first" / "model.ckpt"
    main(["fit", *digits, *flags, str(first), "--loop.run_dir", str(tmp_path / "second")])
    assert (tmp_path / "second" / "queries.csv").read_text().count("\n") == 71
    assert f"checkpoint: {first}" in (tmp_path / "second" / "config.yaml").read_text()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["fit", *digits, *flags, "nowhere.ckpt", "--loop.run_dir", str(tmp_path / "third")])
    error = capsys.readouterr().err.strip()
    assert error.endswith("Expected `checkpoint` to be the model.ckpt of a run, but there is no file nowhere.ckpt.")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "third").exists()
    main(
        ["fit", *digits, "--seed_everything", "1", "--loop.num_rounds", "0", "--loop.run_dir", str(tmp_path / "first1")]
    )
    capsys.readouterr()
    again = [*digits, *flags, str(first), "--loop.num_rounds", "2", "--loop.run_dir", str(tmp_path / "second")]
    before = (tmp_path / "second" / "commit.json").read_bytes()
    mine = first.read_bytes()
    first.write_bytes((tmp_path / "first1" / "model.ckpt").read_bytes())
    with pytest.raises(SystemExit):
        main(["fit", *again])
    assert "Expected `loop.strategy.features` to have the weights that it had in the run in" in capsys.readouterr().err
    assert (tmp_path / "second" / "commit.json").read_bytes() == before
    first.write_bytes(mine)
    main(["fit", *again])
    assert (tmp_path / "second" / "queries.csv").read_text().count("\n") == 91
