"""What a run has in Label Studio: a file beside asked.csv."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from al_lightning.errors import InputError
from al_lightning.run_folder.files import replace_file
from al_lightning.run_folder.tables import Query

STATE = "label_studio.json"


@dataclass
class StudioState:
    """The project of a run, and the questions that are tasks there."""

    url: str
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    """Marks the tasks of this run, because a project may have tasks of several runs."""
    project: int | None = None
    """Number of the project; ``None`` until there is one."""
    tasks: dict[int, dict[int, int]] = field(default_factory=dict)
    """Number of the task, by round and training-set index."""

    @classmethod
    def read(cls, run_dir: Path) -> "StudioState | None":
        """Reads the file of a run folder; ``None`` if there is none.

        Raises:
            InputError: If the file was edited.
        """
        path = run_dir / STATE
        try:
            stored = json.loads(path.read_bytes())
            tasks = {
                int(round): {int(index): int(task) for index, task in by_index.items()}
                for round, by_index in stored["tasks"].items()
            }
            project = stored["project"]
            return cls(str(stored["url"]), str(stored["run"]), None if project is None else int(project), tasks)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"Expected {path} as it was written, but it was edited or is torn; without it, `al-lightning fit` asks "
                "the open questions again, in a new project."
            ) from error

    def write(self, run_dir: Path) -> None:
        """Writes the file, whole or not at all."""
        content = {"url": self.url, "project": self.project, "run": self.run, "tasks": self.tasks}
        replace_file(run_dir / STATE, (json.dumps(content, indent=1) + "\n").encode())

    def not_pushed(self, questions: Iterable[Query]) -> list[Query]:
        """Open questions that are no tasks yet."""
        return [
            question
            for question in questions
            if question.label is None and question.index not in self.tasks.get(question.round, {})
        ]

    def note(self, round: int, tasks: Mapping[int, int]) -> None:
        """Notes the tasks of a round: their numbers by index."""
        self.tasks[round] = dict(tasks)

    @property
    def page(self) -> str:
        """Where people answer."""
        return f"{self.url}/projects/{self.project}"
