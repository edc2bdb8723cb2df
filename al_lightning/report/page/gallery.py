"""Gallery: images that each strategy asked for, early and late, with the predictions of the model."""

import inspect
import io
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from al_lightning.errors import InputError
from al_lightning.paths import expanded
from al_lightning.report.read_run import Run
from al_lightning.report.study import Study
from al_lightning.run_folder.sample_names import name_of

if TYPE_CHECKING:
    from torch import Tensor

    from al_lightning.data import PoolDataModule

PIXELS = 64  # height and width of image files that stand for other inputs


@dataclass(frozen=True)
class Tile:
    """One image of a query."""

    index: int
    """Training-set index."""
    label: str
    predicted: str | None
    """Prediction of the model that asked for the image, if the run has kept it."""
    confidence: float | None

    @property
    def is_wrong(self) -> bool:
        return self.predicted is not None and self.predicted != self.label


@dataclass(frozen=True)
class Row:
    """The first images of one query of an arm."""

    arm: str
    stage: str
    """``early``, ``middle`` or ``late``."""
    num_labeled: int
    """Number of labels of the model that asked."""
    tiles: tuple[Tile, ...]
    images: np.ndarray
    """Side by side, uint8, shape ``(height, width * len(tiles))`` in grey, or ``(..., 3)`` in colour."""

    def sprite(self) -> bytes:
        """All images as one PNG."""
        file = io.BytesIO()
        Image.fromarray(self.images).save(file, format="PNG", optimize=True)
        return file.getvalue()


@dataclass(frozen=True)
class Gallery:
    """Rows of images, or a sentence on why there are none."""

    seed: int
    rows: tuple[Row, ...] = ()
    note: str | None = None


def gallery(study: Study, root: str | None = None, num_images: int = 12) -> Gallery:
    """Collects the first images of an early, a middle and a late query of each arm, of its first seed.

    The settings of the runs name the data. If the data cannot be loaded, or are not images, the gallery has a note
    instead, and the report does not fail.

    Args:
        study: The runs.
        root: Folder of the data set, for data with a `root` argument. By default the folder of the run's settings, if
            it is there, and else the default of the data.
        num_images: Images of a query.
    """
    seed = study.seeds[0]
    stages = _stages(study.num_rounds)
    if not stages:
        return Gallery(seed, note="There are no pictures: no labels were asked for.")
    try:
        return Gallery(seed, tuple(_rows(study, stages, root, num_images)))
    except _NoPictures as error:
        return Gallery(seed, note=f"There are no pictures{error}")


class _NoPictures(Exception):
    """Says why there are none."""


@contextmanager
def _data_that_may_fail() -> Iterator[None]:
    """Turns any error of a data class into a note: the class may be the user's and raise anything."""
    try:
        yield
    except _NoPictures:
        raise
    except Exception as error:  # the report says so where the pictures would be
        what = " ".join(f"{error}".split()) or type(error).__name__
        raise _NoPictures(f", since the data could not be loaded: {what}") from error


def _rows(study: Study, stages: Mapping[str, int], root: str | None, num_images: int) -> Iterator[Row]:
    """Raises :class:`_NoPictures` if the data cannot be loaded, lack queried samples or are not images."""
    with _data_that_may_fail(), redirect_stdout(io.StringIO()):  # data may print what they found
        data = _load(next(iter(study.runs.values()))[0], root)
        inputs, num_samples = _pictures(data, data.indices_there[:1]), len(data.train_targets)
    if not hasattr(inputs, "shape") or not inputs.is_floating_point():
        raise _NoPictures(": samples of several tensors, or of integers, are no images.")
    shape = tuple(inputs.shape[1:])
    image_shape = _image_shape(shape)
    if image_shape is None:
        raise _NoPictures(f": samples of shape {shape} are no images.")
    import torch  # the data have imported it

    for arm in study.arms:
        run = study.runs[arm][0]
        queries = _with_places(run.queries, run, data)
        for stage, round in stages.items():
            query = queries[queries["round"] == round].sort_values("order").head(num_images)
            if query.empty:  # people skipped all of it
                continue
            if query["place"].max() >= num_samples:
                raise _NoPictures(f": {arm} asked for samples that the data do not have.")
            with _data_that_may_fail():  # they may have fewer names than classes, too
                inputs = _pictures(data, torch.tensor(query["place"].to_numpy(np.int64)))
                tiles = tuple(_tile(row, data.class_names) for row in query.to_dict("records"))
            images = _side_by_side(inputs.numpy().reshape(-1, *image_shape))
            yield Row(arm, stage, int(study.num_labeled[round - 1]), tiles, images)


def _pictures(data: "PoolDataModule", indices: "Tensor") -> Any:
    """What shows samples: their image files if they are no images themselves, or else their inputs."""
    import torch

    from al_lightning.data.images import ImageFiles, ImageTransform

    paths = [path for path in map(data.picture_of, indices.tolist()) if path is not None]
    if len(paths) == len(indices):
        files = ImageFiles(paths, ImageTransform(PIXELS))
        return torch.stack([files[number] for number in range(len(files))])
    if not data.shows_inputs:
        raise _NoPictures(f": samples of {type(data).__name__} without files are no images.")
    return data.inputs_at(indices)


def _with_places(queries: pd.DataFrame, run: Run, data: "PoolDataModule") -> pd.DataFrame:
    """Adds a column ``place``: where the data of today have each sample. A pool that grew may have another order.

    Samples that the data have no longer are left out.
    """
    root = getattr(data, "root", None)
    known = [run.files.get(int(index)) for index in queries["index"]]
    if any(name is None for name in known) or data.file_of(0) is None:
        return queries.assign(place=queries["index"])
    names = (name_of(data.file_of(i) or "", root) for i in range(len(data.train_targets)))
    places = {name: place for place, name in enumerate(names)}
    found = queries.assign(place=[places.get(str(name), -1) for name in known])
    return found[found["place"] >= 0]


def _stages(num_rounds: int) -> dict[str, int]:
    """Returns the rounds of the first, a middle and the last query, by name."""
    last = num_rounds - 1
    if last < 1:
        return {}
    stages = {"early": 1, "middle": (1 + last) // 2, "late": last}
    if last < 3:  # there is no middle, or no late one either
        del stages["middle"]
    if last == 1:
        del stages["late"]
    return stages


def _load(run: Run, root: str | None) -> "PoolDataModule":
    """Makes the data of a run's settings.

    Raises:
        InputError: If the settings do not name a class. Errors of the module and the class are passed on.
        _NoPictures: If the folder of the data is not there.
    """
    name = str(run.settings.get("data"))
    module, _, cls = name.rpartition(".")
    if not module:
        raise InputError(f"Expected `data` to be the dotted path of a class, but got `{name}`.")
    data_class = getattr(import_module(module), cls)
    args = {key.removeprefix("data."): value for key, value in run.settings.items() if key.startswith("data.")}
    nested = {name.split(".")[0] for name in args if "." in name}  # objects, such as an augmentation: images need none
    args = {name: value for name, value in args.items() if name.split(".")[0] not in nested}
    parameters = inspect.signature(data_class).parameters
    if "root" in parameters:
        root = root or _root_of(run)
        if root is not None:
            args["root"] = root
        elif parameters["root"].default is inspect.Parameter.empty:
            where = run.folders.get("data.root")
            raise _NoPictures(f": the images were in {where}, which is not there; `--data_root` names their folder.")
    return data_class(**args)


def _root_of(run: Run) -> str | None:
    """Returns ``data.root`` of a run, seen from here. ``None`` if the run names none, or there is no such folder.

    A relative path is relative to the folder in which the run was begun. That is the part of the run's path before
    ``loop.run_dir``, or a folder above the run.
    """
    root = run.folders.get("data.root")
    if root is None:
        return None
    path, given = Path(expanded(root)), Path(expanded(run.folders.get("loop.run_dir", "")))
    if path.is_absolute():
        return str(path) if path.exists() else None
    here = run.path.resolve()
    begun = (
        [here.parents[len(given.parts) - 1]] if given.parts and here.parts[-len(given.parts) :] == given.parts else []
    )
    for folder in (*begun, Path.cwd(), *here.parents):
        found = (folder / path).resolve()
        if found.exists() and found != here and found not in here.parents:
            return str(found)
    return None


def _image_shape(shape: Sequence[int]) -> tuple[int, ...] | None:
    """Channels, height and width of an image; vectors of a square length are taken for a grey one."""
    if len(shape) == 3 and shape[0] in (1, 3):
        return tuple(shape)
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) == 1 and isqrt(shape[0]) ** 2 == shape[0] and shape[0] >= 16:
        return 1, isqrt(shape[0]), isqrt(shape[0])
    return None


def _side_by_side(images: np.ndarray) -> np.ndarray:
    """Images ``(n, channels, height, width)`` of any range as one, of bytes."""
    low, high = float(images.min()), float(images.max())
    values = np.rint((images - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    strip = np.concatenate(list(values.transpose(0, 2, 3, 1)), axis=1)
    return strip[..., 0] if strip.shape[2] == 1 else strip


def _tile(row: Mapping[Hashable, Any], class_names: Sequence[str] | None) -> Tile:
    def name(label: Any) -> str:
        return str(int(label)) if class_names is None else class_names[int(label)]

    predicted, confidence = row.get("predicted"), row.get("confidence")
    return Tile(
        int(row["index"]),
        name(row["label"]),
        None if predicted is None or pd.isna(predicted) else name(predicted),
        None if confidence is None or pd.isna(confidence) else float(confidence),
    )
