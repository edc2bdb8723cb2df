"""Reports in TensorBoard."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from al_lightning.report.page.gallery import gallery
from al_lightning.report.tensorboard import write_tensorboard
from tests.report.reports import analysis, study


def read(path: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(path))
    accumulator.Reload()
    return accumulator


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (value, 0, 0)).save(file, format="PNG")
    return file.getvalue()


def test_runs_figures_and_galleries(tmp_path: Path) -> None:
    tables, images = analysis(), gallery(study(), num_images=3)
    for value in (1, 2):  # the second replaces the first
        write_tensorboard(tables, {"learning_curves": png(value)}, images, tmp_path)
    events = read(tmp_path)
    assert set(events.Tags()["images"]) == {
        "figures/learning_curves",
        *(f"gallery_{row.arm}/{row.stage}" for row in images.rows),
    }
    (figure,) = events.Images("figures/learning_curves")
    assert Image.open(io.BytesIO(figure.encoded_image_string)).getpixel((0, 0))[0] == 2
    (row,) = events.Images("gallery_entropy/late")
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(row.encoded_image_string)).convert("L")), images.rows[5].images
    )

    run = read(tmp_path / "<b>&" / "seed1")
    accuracy = tables.study.accuracy["<b>&"][1]
    assert run.Scalars("final_accuracy")[0].value == pytest.approx(accuracy[-1])
    # the rounds are equally far apart
    assert run.Scalars("aubc")[0].value == pytest.approx((accuracy[:-1] + accuracy[1:]).mean() / 2)
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 1 + 6
    start = HParamsPluginData.FromString(
        run.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    ).session_start_info
    values = {name: value.string_value or value.number_value for name, value in start.hparams.items()}
    assert values == {
        "arm": "<b>&",
        "seed_everything": 1,
        "loop.strategy": "al_lightning.Random",
        "model.dropout": 0.1,
    }


def test_images_in_colour_are_written_so(tmp_path: Path) -> None:
    images = gallery(study(), num_images=3)
    row = replace(images.rows[0], images=np.stack([images.rows[0].images] * 3, axis=-1))
    write_tensorboard(analysis(), {}, replace(images, rows=(row,)), tmp_path)
    (event,) = read(tmp_path).Images("gallery_random/early")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB")), row.images)


def test_one_round_has_its_accuracy_as_area(tmp_path: Path) -> None:
    found = study(["random"], max_rounds=1)
    write_tensorboard(analysis(found), {}, gallery(found), tmp_path)
    run = read(tmp_path / "random" / "seed0")
    assert run.Scalars("aubc")[0].value == run.Scalars("final_accuracy")[0].value
