"""The report in TensorBoard: runs by their settings, figures and galleries."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from al_lightning.report.analysis import Analysis
from al_lightning.report.logged import metric_names
from al_lightning.report.page.gallery import Gallery
from al_lightning.report.read_run import Run
from al_lightning.report.study import Study
from al_lightning.run_folder.events import quiet_writers

IMAGE_WIDTH = 1376
"""Width of figures in pixels. TensorBoard keeps all images in memory, so that larger ones are scaled down."""


def write_tensorboard(analysis: Analysis, figures: Mapping[str, bytes], gallery: Gallery, path: Path) -> None:
    """Writes TensorBoard events, and deletes the events of an earlier report in the folder.

    Args:
        analysis: Its runs become entries of ``HPARAMS``, with their final accuracy, the area under the curve and the
            last values of further metrics.
        figures: PNGs by name.
        gallery: Its rows become images.
        path: The folder.
    """
    for events in path.rglob("events.out.tfevents.*"):
        events.unlink()
    quiet_writers()
    with SummaryWriter(str(path)) as writer:
        for name, png in figures.items():
            writer.add_image(f"figures/{name}", _pixels(png), dataformats="HWC")
        for row in gallery.rows:
            layout = "HW" if row.images.ndim == 2 else "HWC"
            writer.add_image(f"gallery_{row.arm}/{row.stage}", row.images, row.num_labeled, dataformats=layout)
        study = analysis.study
        differing = _differing(study)
        for arm in study.arms:
            for s, run in enumerate(study.runs[arm]):
                writer.add_hparams(
                    {"arm": arm, **{name: _value(run, name) for name in differing}},
                    (_metrics(study.num_labeled, study.accuracy[arm][s]) if study.is_tested else {})
                    | _last_metrics(study, run),
                    run_name=f"{arm}/seed{run.seed}",
                    global_step=int(study.num_labeled[-1]),
                )


def _differing(study: Study) -> list[str]:
    """Returns the settings in which runs differ, and the seed."""
    runs = [run for arm in study.arms for run in study.runs[arm]]
    names: Iterable[str] = sorted({name for run in runs for name in run.settings})
    return [name for name in names if name == "seed_everything" or len({str(_value(run, name)) for run in runs}) > 1]


def _value(run: Run, name: str) -> bool | int | float | str:
    value = run.settings.get(name)
    return value if isinstance(value, bool | int | float | str) else str(value)


def _metrics(num_labeled: Sequence[int] | np.ndarray, accuracy: np.ndarray) -> dict[str, float]:
    """Returns the numbers of a run. With one round, the area under the curve is its accuracy."""
    labels = np.asarray(num_labeled, float)
    area = float(np.sum(np.diff(labels) * (accuracy[1:] + accuracy[:-1]) / 2))
    aubc = area / (labels[-1] - labels[0]) if len(labels) > 1 else float(accuracy[0])
    return {"final_accuracy": float(accuracy[-1]), "aubc": aubc}


def _last_metrics(study: Study, run: Run) -> dict[str, float]:
    """Returns the further metrics of the last common round."""
    last = run.rounds.iloc[study.num_rounds - 1]
    names = [name for name in metric_names(study) if name in run.rounds and np.isfinite(last[name])]
    return {f"final_{name}": float(last[name]) for name in names}


def _pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((IMAGE_WIDTH, 100 * IMAGE_WIDTH))
    return np.asarray(image)
