"""Parsers of the words of a command. They say what is wrong in one sentence, without a page of usage."""

import argparse
from typing import NoReturn

from al_lightning.errors import InputError


class Parser(argparse.ArgumentParser):
    """Parses the words of a command that has few options.

    Args:
        form: How the command is used, ``al-lightning label RUN --import FILE``.
        description: What it does.
    """

    def __init__(self, form: str, description: str) -> None:
        super().__init__(" ".join(form.split()[:2]), description=description)
        self._form = form

    def error(self, message: str) -> NoReturn:
        raise InputError(f"Expected `{self._form}`, but got: {message}.")


class OneSentence:
    """What parsers of jsonargparse have in common, whose errors may be of many lines."""

    exit_on_error: bool

    def sentence(self, message: str) -> str:
        """Returns a message of jsonargparse as one sentence."""
        raise NotImplementedError

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises :class:`InputError` with one sentence."""
        if not self.exit_on_error:  # jsonargparse tries one type of a union after the other
            super().error(message, ex)  # type: ignore[misc]
        if (own := input_error(ex)) is not None:
            raise own from ex
        raise InputError(self.sentence(message)) from ex


def input_error(error: BaseException | None) -> InputError | None:
    """The InputError that other libraries wrapped in theirs, if there is one."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error
