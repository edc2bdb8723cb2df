"""A run decodes its images at its first start, and none when it goes on."""

import os
import shutil
from pathlib import Path

import pytest

from al_lightning import ActiveLearningLoop, Convergence, DropoutMLP, FileOracle, ImageFolder, Margin
from al_lightning.cli import main
from al_lightning.data import PoolDataModule
from al_lightning.run_folder import RunFolder
from tests.data.test_images import save_digits
from tests.fitting.test_growing import CLASSES, add, answer
from tests.fitting.test_settings_of_objects import trainer_of


def fit(
    folder: Path, num_rounds: int = 1, run: str | None = "run", data: PoolDataModule | None = None, **kwargs
) -> None:
    loop = ActiveLearningLoop(Margin(), 3, num_rounds, run_dir=run and str(folder / run), **kwargs)
    trainer = trainer_of(Convergence(), max_epochs=2)
    loop.run(trainer, DropoutMLP(64, num_classes=3), photos(folder) if data is None else data)


def photos(folder: Path) -> ImageFolder:
    options = {"image_size": 8, "channels": 1, "num_workers": 0, "num_initial": 4, "classes": CLASSES}
    return ImageFolder(str(folder / "photos"), **options)


def queries(folder: Path, run: str = "run") -> str:
    return (folder / run / "queries.csv").read_text()


def test_a_run_that_goes_on_decodes_nothing_and_keeps_its_bits(tmp_path: Path, opened: list[object]) -> None:
    count = save_digits(tmp_path / "photos")
    fit(tmp_path, 1)
    assert len(opened) == count
    opened.clear()
    fit(tmp_path, 2)
    assert not opened
    fit(tmp_path, 2, "whole")
    assert queries(tmp_path) == queries(tmp_path, "whole")
    for name in ("commit.json", "config.yaml"):
        assert "cache" not in (tmp_path / "run" / name).read_text()


def test_the_command_goes_on_without_decoding(tmp_path: Path, opened: list[object]) -> None:
    count = save_digits(tmp_path / "photos")
    words = f"""fit --data ImageFolder --data.root {tmp_path / "photos"} --data.image_size 8 --data.channels 1
    --data.num_initial 4 --loop.query_size 3
    --loop.run_dir {tmp_path / "run"} --trainer.max_epochs 2 --trainer.accelerator cpu --trainer.logger false
    --trainer.enable_progress_bar false --loop.num_rounds""".split()
    main([*words, "1"])
    assert len(opened) == count
    opened.clear()
    main(["fit", str(tmp_path / "run"), "--loop.num_rounds", "2"])
    assert len(RunFolder.glance(tmp_path / "run").rounds) == 3
    assert not opened
    main(["test", str(tmp_path / "run")])
    assert not opened


def test_with_people_only_new_images_are_decoded(tmp_path: Path, opened: list[object]) -> None:
    names = add(tmp_path, 30, 0)
    people = {"num_rounds": None, "oracle": FileOracle()}
    fit(tmp_path, **people)  # asks for the initial set
    assert len(opened) == len(names)
    answer(tmp_path)
    opened.clear()
    fit(tmp_path, **people)
    assert not opened
    answer(tmp_path)
    more = add(tmp_path, 12, 30)
    opened.clear()
    fit(tmp_path, **people)
    assert len(opened) == len(more)
    answer(tmp_path)
    opened.clear()
    fit(tmp_path, **people)
    assert not opened


@pytest.mark.parametrize("when", ["before the cache is written", "while it is written", "an earlier version"])
def test_a_run_without_a_cache_goes_on_and_gets_one(
    tmp_path: Path, opened: list[object], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    count = save_digits(tmp_path / "photos")
    target = {
        "before the cache is written": "al_lightning.data.image_folder.ImageFolder.write_cache",
        "while it is written": "al_lightning.data.image_cache.os.replace",
    }.get(when)
    if target is None:
        fit(tmp_path, 1)
        shutil.rmtree(tmp_path / "run" / "cache")
    else:

        def kill(*arguments: object) -> None:
            if target.endswith("write_cache") or str(arguments[1]).endswith("images.bin"):
                raise KeyboardInterrupt
            replace(*arguments)

        replace = os.replace
        with monkeypatch.context() as patch:
            patch.setattr(target, kill)
            with pytest.raises(KeyboardInterrupt):
                fit(tmp_path, 2)
    opened.clear()
    fit(tmp_path, 2)
    assert len(opened) == count
    opened.clear()
    fit(tmp_path, 3)
    assert not opened
    fit(tmp_path, 3, "whole")
    assert queries(tmp_path) == queries(tmp_path, "whole")


def test_a_finished_run_gets_no_cache(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos")
    fit(tmp_path, 1)
    shutil.rmtree(tmp_path / "run" / "cache")
    fit(tmp_path, 1)
    assert not (tmp_path / "run" / "cache").exists()


def test_data_that_were_read_before_the_run_are_cached_in_it(tmp_path: Path, opened: list[object]) -> None:
    count = save_digits(tmp_path / "photos")
    data = photos(tmp_path)
    data.setup()
    for run in ("run", "another"):
        fit(tmp_path, 1, run, data)
    assert len(opened) == count
    opened.clear()
    for run in ("run", "another"):
        fit(tmp_path, 2, run)
    assert not opened


def test_a_default_folder_has_the_cache_too(
    tmp_path: Path, opened: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = save_digits(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    for num_rounds in (1, 2):
        fit(tmp_path, num_rounds, run=None)
    assert (tmp_path / "runs" / "margin" / "seed0" / "cache" / "images.bin").is_file()
    assert len(opened) == count
