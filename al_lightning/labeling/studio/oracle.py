"""The oracle that asks people in a live Label Studio."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.labeling.label_studio import is_image, task
from al_lightning.labeling.people import PeopleOracle
from al_lightning.labeling.questions import TASKS, TASKS_CONFIG, is_published, publish_table, remember
from al_lightning.labeling.studio.client import Missing, StudioClient, checked_url
from al_lightning.labeling.studio.images import Images, on_the_server, uploaded
from al_lightning.labeling.studio.push import push
from al_lightning.labeling.studio.state import StudioState
from al_lightning.labeling.studio.take import take_pulled
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.tables import Query


class LabelStudioOracle(PeopleOracle):
    """Asks people for labels in Label Studio.

    At the end of a round, the questions become tasks of a project, with the predictions of the model, and the program
    ends. The same ``fit`` command takes the answers and continues the run. ``al-lightning label RUN`` only takes the
    answers. ``fit --wait`` waits for them and goes on by itself. The oracle creates the project, its labeling interface
    and, if needed, its local storage. The run folder has the questions in ``query.csv``, too.

    The environment variable ``LABEL_STUDIO_API_KEY`` is a key of Label Studio: a personal access token or a legacy
    token. The key is written nowhere.

    Args:
        url: Address of the server, such as ``http://localhost:8080``.
        project: Number of the project that gets the tasks. By default the run has a project of its own.
        images: How images get there. ``upload``: they are uploaded. ``local``: the server reads them from its own disk,
            by the same paths. ``url``: tasks have the URL of ``image_url``. The default is ``upload``, or ``url`` if
            there is an ``image_url``.
        image_url: URL of an image for people's browsers. ``{path}`` is the absolute path of the image without the first
            slash, and ``{name}`` its path in ``data.root``.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self, url: str, project: int | None = None, images: Images | None = None, image_url: str | None = None
    ) -> None:
        if images not in (None, "upload", "local", "url"):
            raise InputError(f"Expected `loop.oracle.images` to be upload, local or url, but got `{images}`.")
        if image_url is not None and "{path}" not in image_url and "{name}" not in image_url:
            raise InputError(
                f"Expected `loop.oracle.image_url` to have {{path}} or {{name}} in it, but got `{image_url}`."
            )
        self.images: Images = images or ("upload" if image_url is None else "url")
        if (self.images == "url") != (image_url is not None):
            raise InputError(
                f"Expected `loop.oracle.image_url` if and only if `loop.oracle.images` is url, but got {self.images} "
                f"and {image_url}."
            )
        self.url = checked_url(url)
        self.project = project
        self.image_url = image_url

    def initial(self, data: PoolDataModule, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        start = super().initial(data, generator)
        self._check_server()
        return start

    def next_step(self, run_dir: Path) -> str:
        state = StudioState.read(run_dir)
        assert state is not None, "the questions are published"
        return f"answer in {state.page}"

    def collect(self, folder: RunFolder) -> None:
        """Takes the tables that people filled in, in the run folder, and the answers of Label Studio."""
        super().collect(folder)
        state = self._state(StudioClient(self.url), folder.path)
        if any(question.round in state.tasks for question in folder.asked):
            take_pulled(folder)

    def publish(self, run_dir: Path, data: PoolDataModule, questions: Sequence[Query]) -> None:
        names = data.list_class_names()
        if not is_published(run_dir, questions):
            texts = [data.text_of(question.index) for question in questions] if data.shows_texts else []
            publish_table(run_dir, questions, names, texts)
            for name in (TASKS, TASKS_CONFIG):  # of FileOracle, with which the run may have begun
                (run_dir / name).unlink(missing_ok=True)
            remember(run_dir, questions)
        client = StudioClient(self.url)
        state = self._state(client, run_dir)
        if state.not_pushed(questions):
            images = all(is_image(question) for question in questions)
            make_tasks = partial(self._tasks, client, state.run, data, names, images)
            push(client, state, run_dir, questions, names, images, make_tasks)

    def _check_server(self) -> None:
        """Raises InputError before the first fit, and not after it, if the questions would not arrive."""
        client = StudioClient(self.url)
        client.user()
        if self.project is not None:
            try:
                client.project(self.project)
            except Missing:
                raise InputError(
                    f"Expected `loop.oracle.project` to be a project of Label Studio at {self.url}, but there is no "
                    f"project {self.project}."
                ) from None

    def _state(self, client: StudioClient, run_dir: Path) -> StudioState:
        """What the run has in the server and the project that are given now."""
        state = StudioState.read(run_dir) or StudioState(self.url)
        if state.url != self.url:
            if not _is_there(client, state):  # to another server, which knows nothing of this run
                state.project, state.tasks = None, {}
            state.url = self.url
        if self.project is not None and self.project != state.project:
            state.project, state.tasks = self.project, {}
        state.write(run_dir)
        return state

    def _tasks(
        self,
        client: StudioClient,
        run: str,
        data: PoolDataModule,
        names: Sequence[str],
        images: bool,
        project: dict[str, Any],
        questions: Sequence[Query],
    ) -> list[dict[str, Any]]:
        if not images:
            return [task(question, names, text=data.text_of(question.index)) for question in questions]
        root = getattr(data, "root", None)
        folder = None if root is None else Path(root)
        if self.images == "url":
            assert self.image_url is not None
            return [task(question, names, self.image_url, root=folder) for question in questions]
        if self.images == "upload":
            urls = uploaded(client, project["id"], run, questions)
        else:
            urls = on_the_server(client, project["id"], questions, folder)
        return [task(question, names, urls[question.index]) for question in questions]


def _is_there(client: StudioClient, state: StudioState) -> bool:
    """Whether a server has the project of a run: its last tasks are there."""
    if state.project is None or not state.tasks:
        return False
    try:
        return bool(client.tasks(state.project, state.run, max(state.tasks)))
    except Missing:
        return False
