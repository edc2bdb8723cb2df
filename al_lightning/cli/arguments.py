"""Parsing the words of a command that has few of its own."""

import argparse

from al_lightning.errors import InputError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence.

    Args:
        form: How the command is used, ``al-lightning label RUN --import FILE``.
        description: What it does.
    """

    def __init__(self, form: str, description: str) -> None:
        super().__init__(" ".join(form.split()[:2]), description=description)
        self._form = form

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(f"Expected `{self._form}`, but got: {message}.")
