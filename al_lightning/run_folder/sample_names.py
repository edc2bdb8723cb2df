"""Names of samples in the tables of a run."""

import os
import re
from pathlib import PurePath


def name_of(file: str, root: str | None) -> str:
    """The name of a sample: its file relative to the folder of the data, because this folder may move.

    Args:
        file: Path of the sample's file, or its row in a file; empty if the sample has no file.
        root: The folder of the data; ``None`` if the data have no folder.

    Example:
        >>> name_of("photos/cats/1.jpg", "photos"), name_of("data/wine.npz:156", None)
        ('cats/1.jpg', 'wine.npz:156')
    """
    if root is not None and file:
        whole, folder = os.path.abspath(file), os.path.join(os.path.abspath(os.path.expanduser(root)), "")
        if whole.startswith(folder):
            return PurePath(whole[len(folder) :]).as_posix()
    if re.search(r":\d+$", file):  # all rows are in one file
        return PurePath(file).name
    return file
