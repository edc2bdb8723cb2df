"""The oracle that asks people: it writes questions to files, and ``al-lightning label`` reads the answers."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.labeling.label_studio import IMAGE_URL, is_image, labeling_config, task
from al_lightning.labeling.people import PeopleOracle
from al_lightning.labeling.questions import (
    QUERY,
    TASKS,
    TASKS_CONFIG,
    is_published,
    publish_table,
    remember,
    write_whole,
)
from al_lightning.run_folder.tables import Query


class FileOracle(PeopleOracle):
    """Asks people for labels.

    At the end of a round, the oracle writes three files into the run folder:

    - ``query.csv``: a table with a column ``label`` to fill in.
    - ``query.json``: tasks for Label Studio, with the predictions of the model.
    - ``query.xml``: the labeling interface of these tasks.

    Then the program ends. The same ``fit`` command takes the filled-in table in the run folder, and continues the run.
    ``al-lightning label RUN --import FILE`` reads answers from other files.

    Round 0 trains on the samples of known class. If there are none, the oracle first asks for ``data.num_initial``
    random samples.

    Args:
        image_url: URL of an image in Label Studio's tasks. ``{path}`` is the absolute path of the image without the
            first slash, and ``{name}`` its path in ``data.root``. By default Label Studio reads local files. For this,
            start it with ``LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true`` and
            ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/``.
    """

    def __init__(self, image_url: str = IMAGE_URL) -> None:
        if "{path}" not in image_url and "{name}" not in image_url:
            raise InputError(
                f"Expected `loop.oracle.image_url` to have {{path}} or {{name}} in it, but got `{image_url}`."
            )
        self.image_url = image_url

    def next_step(self, run_dir: Path) -> str:
        run = shlex.quote(str(run_dir))
        return (
            f"fill in the column `label` of {run_dir / QUERY} (or answer {TASKS} in Label Studio, and import the "
            f"export: al-lightning label {run} --import FILE)"
        )

    def publish(self, run_dir: Path, data: PoolDataModule, questions: Sequence[Query]) -> None:
        names = data.list_class_names()
        images = all(is_image(question) for question in questions)
        if is_published(run_dir, questions) and (run_dir / TASKS).exists():
            return  # people may be editing the files
        texts = ["" if images else data.text_of(question.index) for question in questions]
        if not is_published(run_dir, questions):
            publish_table(run_dir, questions, names, texts if data.shows_texts else ())
        root = getattr(data, "root", None)
        tasks = [
            task(question, names, self.image_url, text, None if root is None else Path(root))
            for question, text in zip(questions, texts, strict=True)
        ]
        write_whole(run_dir / TASKS, tasks)
        write_whole(run_dir / TASKS_CONFIG, labeling_config(names, images=images))
        remember(run_dir, questions)
