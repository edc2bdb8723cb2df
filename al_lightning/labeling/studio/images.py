"""How images get into Label Studio: uploaded, read by the server from its own disk, or by a URL of their own."""

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from PIL import Image

from al_lightning.data.image_suffixes import suffix_of
from al_lightning.data.images import UNREADABLE, as_bytes
from al_lightning.errors import InputError
from al_lightning.labeling.label_studio import IMAGE_URL
from al_lightning.labeling.studio.client import Refused, StudioClient
from al_lightning.run_folder.tables import Query

Images = Literal["upload", "local", "url"]
SHOWN = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
"""Formats that Label Studio takes and browsers show. Others are uploaded as PNG."""
MOST_FILES, MOST_BYTES = 25, 20_000_000
"""Of one request. Label Studio takes 100 files; servers in front of it take less."""
SAID_FROM = 100
"""Number of images from which on the progress is said."""


def uploaded(client: StudioClient, project: int, run: str, questions: Sequence[Query]) -> dict[int, str]:
    """Uploads the images of questions, except those that are there from before.

    Returns:
        The URL of each image, by training-set index.

    Raises:
        InputError: If an image cannot be read, or does not arrive.
    """
    there = _uploads(client, project, run)
    lacking = [question for question in questions if question.index not in there]
    num_sent = 0
    for files in _batches(lacking, run):
        client.upload(project, files)
        num_sent += len(files)
        if len(lacking) >= SAID_FROM:
            print(f"Uploaded {num_sent} of {len(lacking)} images to {client.url}.", file=sys.stderr)
    if lacking:
        there = _uploads(client, project, run)
    missing = [question.file for question in questions if question.index not in there]
    if missing:
        raise InputError(
            f"Expected Label Studio at {client.url} to have all images that were uploaded, but {len(missing)} are "
            f"missing, such as {missing[0]}."
        )
    prefix = urlsplit(client.url).path  # a server may be in a folder of its host
    return {question.index: f"{prefix}/data/{there[question.index]}" for question in questions}


def _uploads(client: StudioClient, project: int, run: str) -> dict[int, str]:
    """Uploaded files of a run by training-set index: their names say it."""
    matches = [(re.search(rf"-{run}-(\d+)\.\w+$", path), path) for path in client.uploads(project)]
    return {int(match.group(1)): path for match, path in matches if match}


def _batches(questions: Sequence[Query], run: str) -> Iterator[Mapping[str, bytes]]:
    batch: dict[str, bytes] = {}
    size = 0
    for question in questions:
        suffix, content = _content(question.file)
        if batch and (len(batch) == MOST_FILES or size + len(content) > MOST_BYTES):
            yield batch
            batch, size = {}, 0
        batch[f"{run}-{question.index}{suffix}"] = content
        size += len(content)
    if batch:
        yield batch


def _content(file: str) -> tuple[str, bytes]:
    """Suffix and content of an image file, in a format that browsers show."""
    suffix = suffix_of(file)
    try:
        if suffix in SHOWN:
            return suffix, Path(file).read_bytes()
        with Image.open(file) as image:
            content = io.BytesIO()
            as_bytes(image, "RGB").save(content, "PNG")
        return ".png", content.getvalue()
    except UNREADABLE as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"Expected to upload {file}, but it cannot be read: {reason}.") from error


def on_the_server(client: StudioClient, project: int, questions: Sequence[Query], root: Path | None) -> dict[int, str]:
    """Lets the server show images of its own disk: adds their folder as local storage, if it is none yet.

    Args:
        client: The server.
        project: The project.
        questions: Samples with image files, whose paths are those on the server, too.
        root: Folder of the data.

    Returns:
        The URL of each image, by training-set index.

    Raises:
        InputError: If the server does not show its own files, or not those of this folder.
    """
    paths = {question.index: Path(question.file).absolute() for question in questions}
    folder = root.absolute() if root is not None else None
    if folder is None or any(folder not in path.parents for path in paths.values()):
        folder = Path(os.path.commonpath([path.parent for path in paths.values()]))
    storages = [Path(storage["path"]) for storage in client.local_storages(project)]
    try:
        if not any(storage == folder or storage in folder.parents for storage in storages):
            client.add_local_storage(project, folder.as_posix())
    except Refused as error:
        raise InputError(
            f"Expected Label Studio at {client.url} to show the images in {folder} from its own disk, but it answers: "
            f"{error.told}; `--loop.oracle.images upload` needs no such folder."
        ) from None
    served = _document_root(client, project)
    relative = {index: os.path.relpath(path, served).replace(os.sep, "/") for index, path in paths.items()}
    return {
        index: urlsplit(client.url).path + IMAGE_URL.replace("{path}", quote(name)) for index, name in relative.items()
    }


def _document_root(client: StudioClient, project: int) -> str:
    """The folder that the server's paths of local files begin in. It names the folder when it refuses one."""
    try:
        client.add_local_storage(project, "/", is_trial=True)
    except Refused as error:
        if found := re.search(r'LOCAL_FILES_DOCUMENT_ROOT="([^"]+)"', error.told):
            return found.group(1)
    return "/"
