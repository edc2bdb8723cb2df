"""A terminal is told that the program is loading."""

import io
import sys

import pytest

from al_lightning.cli.loading import loading


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_it_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with loading():
        assert sys.stderr.getvalue() == "Loading ..."
    assert sys.stderr.getvalue() == "Loading ...\r\033[K"


def test_a_file_does_not(capsys: pytest.CaptureFixture) -> None:
    with loading():
        pass
    assert capsys.readouterr() == ("", "")
