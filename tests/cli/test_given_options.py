"""What a command line gives, by flags and by config files."""

from pathlib import Path

import pytest

from al_lightning.cli.given_options import given_options, last_name


def test_flags_and_files_are_read_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "seed_everything: 3\n"
        "data: {class_path: al_lightning.ImageFolder, init_args: {root: photos, classes: [a, b]}}\n"
        "model: {class_path: Backbone, init_args: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}}}\n"
        "loop: {oracle: null, strategy: Margin}\n"
    )
    words = ["--loop.strategy", "BALD", f"--config={path}", "--data.root", "x", "--loop.oracle=FileOracle"]
    assert given_options(words) == {
        "seed_everything": 3,
        "data": "al_lightning.ImageFolder",
        "data.root": "x",
        "data.classes": ["a", "b"],
        "model": "Backbone",
        "model.optimizer": "torch.optim.SGD",
        "model.optimizer.lr": 0.1,
        "loop.oracle": "FileOracle",
        "loop.strategy": "Margin",
    }


def test_groups_may_be_given_as_text_or_file(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("class_path: NumpyFiles\ninit_args: {path: x.npz}\n")
    words = [
        "--data",
        str(tmp_path / "data.yaml"),
        "--loop",
        "{query_size: 3}",
        "--config",
        '{"model": {"dropout": 0}}',
    ]
    assert given_options(words) == {
        "data": "NumpyFiles",
        "data.path": "x.npz",
        "loop.query_size": 3,
        "model.dropout": 0,
    }


def test_names_of_init_args_and_lists_are_as_in_a_file() -> None:
    words = ["--data.init_args.classes", '["a", "b"]', "--model.class_path", "Net", "--loop.run_dir", "null"]
    assert given_options(words) == {"data.classes": ["a", "b"], "model": "Net", "loop.run_dir": None}


@pytest.mark.parametrize("text", ["a: &a {b: *a, c: 1}", "]", "5", "", "a: 1\n\tb: 2"])
def test_files_that_are_none_are_left_to_others(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    words = ["--config", str(path), "--config", str(tmp_path / "none"), "--data.classes", "[a"]
    assert given_options(words).items() >= {"data.classes": "[a"}.items()
    assert given_options([]) == {}
    assert given_options(["--print_config"]) == {"print_config": ""}


def test_last_names() -> None:
    assert [last_name(path) for path in ("al_lightning.Margin", "Margin", None, 3)] == ["Margin", "Margin", "", ""]
