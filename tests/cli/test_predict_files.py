"""Class probabilities of files, by the model of a run."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional as F

from al_lightning.cli import main
from al_lightning.data.images import ImageTransform
from al_lightning.data.new_samples import IMAGES_IN_BLOCK
from tests.data.test_images import save_digits

QUICK = ["--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on images and on arrays, in one folder, with new samples of both."""
    folder = tmp_path_factory.mktemp("predict")
    save_digits(folder / "photos", 60)
    for number, name in enumerate(("Äpfel, grün", "a b", "kiwi")):
        (folder / "photos" / f"digit{number}").rename(folder / "photos" / name)
    save_digits(folder / "new", 40, start=200)
    main(
        [
            *["fit", "--data", "ImageFolder", "--data.root", str(folder / "photos"), "--data.image_size", "8"],
            *["--data.channels", "1", "--data.num_initial", "10", "--data.num_workers", "0", "--model.input_dim", "64"],
            *["--model.num_classes", "3", "--model.optimizer.lr", "0.01", "--loop.query_size", "5"],
            *["--loop.num_rounds", "0", "--loop.run_dir", str(folder / "images"), *QUICK],
        ]
    )
    main(["fit", "--config", "digits", "--loop.num_rounds", "0", "--loop.run_dir", str(folder / "arrays"), *QUICK])
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_each_image_has_the_probabilities_of_the_model(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    main(["predict", str(folder / "images"), str(folder / "new"), "--out", str(out)])
    found = rows(out)
    names = ["Äpfel, grün", "a b", "kiwi"]
    names.sort()
    assert list(found[0]) == ["file", "predicted", "confidence", *(f"prob_{name}" for name in names)]
    assert [row["file"] for row in found] == sorted(str(path) for path in (folder / "new").rglob("*.png"))
    state = torch.load(folder / "images" / "model.ckpt", weights_only=True)["state_dict"]
    for row in found:
        with Image.open(row["file"]) as image:
            pixels = ImageTransform(8, 1)(image).flatten()
        hidden = (state["hidden.weight"] @ pixels + state["hidden.bias"]).clamp(min=0)
        expected = F.softmax(state["head.weight"] @ hidden + state["head.bias"], dim=0)
        assert [float(row[f"prob_{name}"]) for name in names] == pytest.approx(expected.tolist(), abs=1e-5)
        assert row["predicted"] == names[int(expected.argmax())]
        assert float(row["confidence"]) == pytest.approx(float(expected.max()), abs=1e-5)


def test_the_data_of_the_run_need_not_be_there(folder: Path, tmp_path: Path) -> None:
    main(["predict", str(folder / "images"), str(folder / "new"), "--out", str(tmp_path / "a.csv")])
    (folder / "photos").rename(folder / "elsewhere")
    try:
        main(["predict", str(folder / "images"), str(folder / "new"), "--out", str(tmp_path / "b.csv")])
    finally:
        (folder / "elsewhere").rename(folder / "photos")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_arrays_have_the_same_probabilities_as_the_test_set_of_the_run(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", load_digits().images[:397])
    main(["predict", str(folder / "arrays"), str(tmp_path / "x.npy"), "--out", str(tmp_path / "p.csv")])
    run = folder / "arrays"
    main(["predict", "--config", str(run / "config.yaml"), "--ckpt_path", str(run / "model.ckpt"), *QUICK[:2]])
    of_files, of_test = rows(tmp_path / "p.csv"), rows(run / "predictions.csv")
    assert [row["file"] for row in of_files] == [f"{tmp_path / 'x.npy'}:{index}" for index in range(397)]
    for new, old in zip(of_files, of_test, strict=True):
        assert new["predicted"] == old["predicted"]
        assert [float(new[f"prob_{c}"]) for c in range(10)] == pytest.approx(
            [float(old[f"prob_{c}"]) for c in range(10)], abs=1e-5
        )


def test_many_images_are_read_in_blocks_and_bad_ones_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for index in range(IMAGES_IN_BLOCK + 2):
        os.link(next((folder / "new").rglob("*.png")), many / f"{index:04}.png")
    (many / "0000.png").unlink()
    (many / "0000.png").write_text("no image")
    (many / "z.cr2").write_text("a raw picture")
    main(["predict", str(folder / "images"), str(many), "--out", str(tmp_path / "p.csv")])
    found = rows(tmp_path / "p.csv")
    assert [Path(row["file"]).name for row in found] == [f"{i:04}.png" for i in range(1, IMAGES_IN_BLOCK + 2)]
    assert len({row["confidence"] for row in found}) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"Wrote {len(found)} predictions to {tmp_path / 'p.csv'}; left out 2."
    assert f"Left out: {many / 'z.cr2'}: this format is not read here." in printed.err
    assert f"Left out: {many / '0000.png'}: " in printed.err


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as error:
        main(["predict", *words])
    assert error.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_bad_input_gets_one_sentence_and_leaves_no_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images, arrays, new = str(folder / "images"), str(folder / "arrays"), str(folder / "new")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.png").write_text("x")
    np.save(tmp_path / "wide.npy", np.zeros((3, 9, 9)))
    np.save(tmp_path / "nan.npy", np.full((3, 8, 8), np.nan))
    shutil.copytree(images, "torn")
    Path("torn/config.yaml").write_text("a: [")
    assert "of the run in torn as committed, but one was edited or is torn" in refused(capsys, "torn", new)
    assert "has no config.yaml" in refused(capsys, new, new)
    assert "there is no none" in refused(capsys, images, "none")
    assert "Expected images in empty, but got none" in refused(capsys, images, "empty")
    assert "none of 1 can be read: no.png" in refused(capsys, images, "no.png")
    assert "`--out` to be a .csv file, but got a.txt" in refused(capsys, images, new, "--out", "a.txt")
    assert "`--out` to be in a folder that is there, but got x/a.csv" in refused(
        capsys, images, new, "--out", "x/a.csv"
    )
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    assert ".." not in refused(capsys, arrays, "pickled.npy")
    assert "wide.npy to hold numbers of shape (N, 8, 8)" in refused(capsys, arrays, "wide.npy")
    assert "Expected finite numbers in nan.npy" in refused(capsys, arrays, "nan.npy")
    assert "no.png to be a .npy file" in refused(capsys, arrays, "no.png")
    assert not list(tmp_path.glob("*.csv*"))
