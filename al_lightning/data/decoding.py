"""Turns the bytes of a table into text, in the encodings that spreadsheets write."""

import codecs
from collections.abc import Collection
from pathlib import Path

from al_lightning.errors import InputError, composed

UNICODE = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Encodings by the bytes that a file in them begins with."""
PAGES = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "mac_roman", "cp850", "cp932", "gbk", "cp949")
"""Encodings of Excel's "CSV" in other languages and on other systems. The first one is by far the most frequent."""
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The bytes that .xlsx, .ods and .numbers files begin with, and .xls files."""


def read_text(path: Path, words: Collection[str] = (), option: str = "--import") -> str:
    """Reads a file of text.

    Args:
        path: The file.
        words: Words that the text may have, such as names of classes. Among the encodings that are not Unicode, the
            first one with the most of these words is chosen.
        option: The option that names the file, for messages.

    Raises:
        InputError: If there is no such file, or it is not text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"Expected `{option}` to be a file, but there is no {path}.") from None
    except IsADirectoryError:
        raise InputError(f"Expected `{option}` to be a file, but {path} is a folder.") from None
    except OSError as error:
        raise InputError(f"Expected `{option}` {path} to be a readable file, but got: {error.strerror}.") from error
    if content.startswith(WORKBOOKS):
        raise InputError(f"Expected `{option}` {path} to be a table of text, but it is a workbook; save it as CSV.")
    text = _decoded(content, words)
    if text is None or "\0" in text:
        raise InputError(f"Expected `{option}` {path} to be a text file, but got other bytes.")
    return text


def _decoded(content: bytes, words: Collection[str]) -> str | None:
    for mark, encoding in UNICODE.items():
        if content.startswith(mark):
            return _in(encoding, content)
    text = _in("utf-8", content)
    if text is not None:
        return text
    told = {composed(word) for word in words if not word.isascii()}
    texts = [text for page in PAGES if (text := _in(page, content)) is not None]
    return max(texts, key=lambda text: sum(word in composed(text) for word in told), default=None)


def _in(encoding: str, content: bytes) -> str | None:
    """The text in this encoding; ``None`` if it is not in this encoding."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None
