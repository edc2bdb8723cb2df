"""Gallery: the images are those that were asked for."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from al_lightning.report.page.gallery import gallery
from al_lightning.report.read_run import Run, read_run
from al_lightning.report.study import Study, read_study
from al_lightning.run_folder import RunFolder
from al_lightning.run_folder.tables import Sample
from tests.digits import FlatDigits
from tests.helpers import digits
from tests.report.people_runs import ROUNDS, people_settings, write_people_run
from tests.report.reports import ARMS, QUERY_SIZE, runs, study, write_run


class Named(FlatDigits):
    """Digits with names, in a folder."""

    class_names = [f"n{i}" for i in range(10)]

    def __init__(self, num_initial: int = 50, root: str = "data") -> None:
        super().__init__(num_initial)
        self.root = root

    def load(self):
        if self.root != "right":
            raise OSError(f"no digits in {self.root}")
        return super().load()


class Flat(FlatDigits):
    """No images: 63 features."""

    def load(self):
        arrays = super().load()
        return arrays._replace(train_inputs=arrays.train_inputs[:, :63], test_inputs=arrays.test_inputs[:, :63])


class Coloured(FlatDigits):
    """Digits with three channels."""

    def load(self):
        arrays = super().load()
        train, test = (
            inputs.view(-1, 1, 8, 8).expand(-1, 3, 8, 8) for inputs in (arrays.train_inputs, arrays.test_inputs)
        )
        return arrays._replace(train_inputs=train, test_inputs=test)


class Pictured(Flat):
    """Features of images, which lie beside the module of the test."""

    folder = Path()
    shows_inputs = False

    def picture_of(self, index: int) -> Path | None:
        path = self.folder / f"{index}.png"
        Image.new("RGB", (9, 5), (index % 256, 0, 255)).save(path)
        return path


class Square(FlatDigits):
    """64 features, which are no image."""

    shows_inputs = False


class Broken(FlatDigits):
    """Raises what nobody thought of."""

    def load(self):
        raise RuntimeError("the disk\nis gone")


class FewNames(FlatDigits):
    """Fewer names than classes."""

    class_names = ["zero", "one"]


class Short(FlatDigits):
    """Fewer samples than the runs asked for."""

    def load(self):
        return (
            super()
            .load()
            ._replace(train_inputs=digits().train_inputs[:100], train_targets=digits().train_targets[:100])
        )


def other_data(tmp_path: Path, name: str) -> Study:
    write_run(tmp_path / "random" / "seed0", "random", 0, data=name)
    return read_study([tmp_path])


def test_rows_are_the_first_images_of_an_early_a_middle_and_a_late_query() -> None:
    rows = gallery(study(), num_images=4).rows
    assert [(row.arm, row.stage, row.num_labeled) for row in rows] == [
        (arm, *stage) for arm in ARMS for stage in [("early", 50), ("middle", 90), ("late", 150)]
    ]
    run = read_run(runs() / "entropy" / "seed0")
    late = run.queries[run.queries["round"] == 6].head(4)
    tiles = next(row for row in rows if (row.arm, row.stage) == ("entropy", "late")).tiles
    assert [tile.index for tile in tiles] == late["index"].tolist()
    assert [tile.label for tile in tiles] == late["label"].astype(str).tolist()
    assert [tile.predicted for tile in tiles] == late["predicted"].astype(int).astype(str).tolist()
    assert [tile.confidence for tile in tiles] == late["confidence"].tolist()
    assert [tile.is_wrong for tile in tiles] == (late["label"] != late["predicted"]).tolist()


def test_a_sprite_has_the_images_side_by_side() -> None:
    row = gallery(study()).rows[0]
    pixels = np.asarray(Image.open(io.BytesIO(row.sprite())))
    assert pixels.shape == (8, 8 * 12)
    inputs = digits().train_inputs
    for i, tile in enumerate(row.tiles):
        # digits have 17 grey values, 0 to 16
        image = (inputs[tile.index] - inputs.min()) / (inputs.max() - inputs.min()) * 255
        assert np.array_equal(pixels[:, 8 * i : 8 * i + 8], image.round().numpy().reshape(8, 8)), i


def test_a_query_smaller_than_a_row_is_shown_whole() -> None:
    assert {len(row.tiles) for row in gallery(study(), num_images=100).rows} == {QUERY_SIZE}


def test_one_query_is_shown_once() -> None:
    assert [row.stage for row in gallery(study(["random"], max_rounds=2)).rows] == ["early"]
    assert [row.stage for row in gallery(study(["random"], max_rounds=3)).rows] == ["early", "late"]


def test_without_queries_there_is_a_note() -> None:
    found = gallery(study(["random"], max_rounds=1))
    assert (found.rows, found.note) == ((), "There are no pictures: no labels were asked for.")


def test_runs_of_version_01_have_no_predictions() -> None:
    found = study(["random"])

    def old(run: Run) -> Run:
        return replace(run, queries=run.queries[["round", "order", "index", "label"]])

    tiles = gallery(replace(found, runs={"random": [old(run) for run in found.runs["random"]]})).rows[0].tiles
    assert {(tile.predicted, tile.confidence, tile.is_wrong) for tile in tiles} == {(None, None, False)}


def test_names_of_classes_and_the_folder_of_the_data(tmp_path: Path) -> None:
    found = other_data(tmp_path, f"{__name__}.Named")
    tile = gallery(found, root="right").rows[0].tiles[0]
    assert tile.label == f"n{int(digits().train_targets[tile.index])}"
    wrong = gallery(found)
    assert wrong.rows == ()
    assert wrong.note == "There are no pictures, since the data could not be loaded: no digits in data"


def test_an_error_of_our_own_is_none_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    monkeypatch.setattr("al_lightning.report.page.gallery._side_by_side", broken)
    with pytest.raises(ZeroDivisionError):
        gallery(study())


def test_images_in_colour_stay_so(tmp_path: Path) -> None:
    row = gallery(other_data(tmp_path, f"{__name__}.Coloured"), num_images=2).rows[0]
    assert row.images.shape == (8, 16, 3)
    assert np.asarray(Image.open(io.BytesIO(row.sprite()))).shape == (8, 16, 3)


def test_features_are_shown_by_the_images_they_were_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = other_data(tmp_path, f"{__name__}.Pictured")
    monkeypatch.setattr(Pictured, "folder", tmp_path)
    row = gallery(study, num_images=3).rows[0]
    assert row.images.shape == (64, 3 * 64, 3)
    blue = np.asarray(Image.open(io.BytesIO(row.sprite())))[..., 2]
    assert (blue == 255).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{__name__}.Square", "samples of Square without files are no images"),
        ("no_such_module.Data", "No module named 'no_such_module'"),
        ("tests.digits.NoData", "no attribute 'NoData'"),
        ("tests.digits.DigitsMLP", "unexpected keyword argument 'num_initial'"),
        ("Data", "Expected `data` to be the dotted path of a class, but got `Data`."),
        (f"{__name__}.Flat", "samples of shape (63,) are no images"),
        (f"{__name__}.Broken", "could not be loaded: the disk is gone"),
        (f"{__name__}.FewNames", "class indices from 0 to 1, for its 2 names of classes, but got"),
        (f"{__name__}.Short", "random asked for samples that the data do not have"),
    ],
)
def test_data_that_cannot_be_shown_leave_a_note(tmp_path: Path, name: str, words: str) -> None:
    found = gallery(other_data(tmp_path, name))
    assert found.rows == ()
    assert words in str(found.note)


def named_run(base: Path, run_dir: str, root: str) -> Study:
    """A run of people that was begun in ``base``, on a folder of data."""
    given = people_settings(root=root)
    given["data"]["class_path"] = f"{__name__}.Folder"
    given["loop"]["run_dir"] = run_dir
    return read_study([write_people_run(base / run_dir, given)])


class Folder(FlatDigits):
    """Digits that need a folder with a file in it."""

    def __init__(self, num_initial: int = 4, root: str = "data", train_transform: object = None) -> None:
        super().__init__(num_initial)
        self.root = root

    def load(self):
        if not Path(self.root, "here").exists():
            raise OSError(f"no digits in {self.root}")
        print("Found digits.")
        return super().load()


@pytest.mark.parametrize("where", [".", "elsewhere"])
def test_images_of_ones_own_are_found_by_the_run(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Also from another folder, and if the run's own folder has the name of the data."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "here").touch()
    found = named_run(tmp_path, "runs/photos", "photos")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / where)
    rows = gallery(found).rows
    assert [row.stage for row in rows] == ["early", "late"]
    assert [tile.index for tile in rows[0].tiles] == [4, 5, 6]  # the fourth was skipped
    assert capsys.readouterr().out == ""  # a report as Markdown goes there


def test_an_absolute_folder_is_taken_as_it_is_and_may_be_replaced(tmp_path: Path) -> None:
    for name in ("photos", "moved"):
        (tmp_path / name).mkdir()
    (tmp_path / "photos" / "here").touch()
    found = named_run(tmp_path, "run", str(tmp_path / "photos"))
    assert gallery(found).rows
    assert gallery(found, root=str(tmp_path / "moved")).note is not None


def test_an_augmentation_does_not_keep_the_images_away(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "here").touch()
    given = people_settings(root=str(tmp_path / "photos"))
    given["data"]["class_path"] = f"{__name__}.Folder"
    given["data"]["init_args"]["train_transform"] = {
        "class_path": "torchvision.transforms.v2.RandomRotation",
        "init_args": {"degrees": 9},
    }
    assert gallery(read_study([write_people_run(tmp_path / "run", given)])).rows


def test_a_query_that_was_skipped_as_a_whole_has_no_row(tmp_path: Path) -> None:
    answers = [ROUNDS[0], [(-1, 0)] * 4, ROUNDS[2]]
    found = gallery(read_study([write_people_run(tmp_path / "run", answers=answers)]))
    assert [row.stage for row in found.rows] == ["late"]


class Sorted(Folder):
    """Digits with files; a new one is sorted before all others, which then have other places."""

    def load(self):
        arrays = super().load()
        inputs, targets = arrays.train_inputs, arrays.train_targets
        return arrays._replace(
            train_inputs=torch.cat([inputs[-1:], inputs[:-1]]), train_targets=torch.cat([targets[-1:], targets[:-1]])
        )

    def file_of(self, index: int) -> str:
        return str(Path(self.root, f"{(index - 1) % len(self.train_targets)}.png"))


def test_images_are_found_by_their_files_where_the_pool_has_grown(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    given = people_settings(root=str(tmp_path))
    given["data"]["class_path"] = f"{__name__}.Sorted"
    path = write_people_run(tmp_path / "run", given)
    folder = RunFolder.edit(path)
    folder.commit(pool=[Sample(i, "gone.png" if i == 5 else f"{i}.png", "", 0) for i in range(12)])
    folder.close()
    row = gallery(read_study([path])).rows[0]
    assert [tile.index for tile in row.tiles] == [4, 6]
    inputs = digits().train_inputs[[4, 6]]
    expected = ((inputs - inputs.min()) / (inputs.max() - inputs.min()) * 255).round().numpy().reshape(2, 8, 8)
    assert np.array_equal(row.images, np.concatenate(list(expected), axis=1))


class Rooted(FlatDigits):
    """Digits of a folder that has no default."""

    def __init__(self, root: str, num_initial: int = 4) -> None:
        super().__init__(num_initial)


def test_a_folder_that_is_not_there_is_named_with_the_option(tmp_path: Path) -> None:
    given = people_settings(root="no_photos_here")
    given["data"]["class_path"] = f"{__name__}.Rooted"
    found = gallery(read_study([write_people_run(tmp_path / "run", given)]))
    words = "the images were in no_photos_here, which is not there; `--data_root` names their folder."
    assert found.note == f"There are no pictures: {words}"
