"""The file of decoded images."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from al_lightning.data.image_cache import Decoded, ImageCache, form_of_pixels, write_cache

FORM = form_of_pixels(2, 1)
PIXELS = {b"first file": b"abcd", b"second file": b"efgh", b"third file": b"ijkl"}


def write(path: Path, form: str = FORM, num_bytes: int = 4) -> None:
    cache = ImageCache(None, form, num_bytes)
    images = [
        (Decoded(cache.key_of(content), hashlib.sha256(pixels[:num_bytes]).digest()), pixels[:num_bytes])
        for content, pixels in PIXELS.items()
    ]
    write_cache(path, iter(images), len(images), num_bytes)


def read(path: Path | None, form: str = FORM, num_bytes: int = 4) -> list[bytes | None]:
    cache = ImageCache(path, form, num_bytes)
    found = [cache.pixels(cache.key_of(content)) for content in PIXELS]
    cache.close()
    return [None if pixels is None else bytes(pixels) for pixels in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "cache" / "images.bin")
    return tmp_path / "cache" / "images.bin"


def test_pixels_come_back_by_the_content_of_the_file(path: Path) -> None:
    assert read(path) == list(PIXELS.values())
    cache = ImageCache(path, FORM, 4)
    assert cache.pixels(cache.key_of(b"another file")) is None
    assert not cache.has([cache.key_of(b"first file"), cache.key_of(b"another file")], with_pixels=True)
    assert {one.name for one in path.parent.iterdir()} == {"images.bin", "CACHEDIR.TAG", ".gitignore"}


def test_a_cache_without_pixels_says_what_can_be_read(tmp_path: Path) -> None:
    write(tmp_path / "images.bin", num_bytes=0)
    cache = ImageCache(tmp_path / "images.bin", FORM, 4)
    keys = [cache.key_of(content) for content in PIXELS]
    assert cache.has(keys, with_pixels=False)
    assert not cache.has(keys, with_pixels=True)
    assert cache.pixels(keys[0]) is None


def test_pixels_of_another_form_are_not_found(path: Path) -> None:
    assert read(path, form=form_of_pixels(2, 3)) == [None] * 3
    assert read(path, num_bytes=8) == [None] * 3


def test_all_that_decides_on_pixels_is_a_part_of_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = {form_of_pixels(2, 1), form_of_pixels(2, 3), form_of_pixels(3, 1)}
    for name in ("pillow_version", "__version__"):
        with monkeypatch.context() as patch:
            patch.setattr(f"al_lightning.data.image_cache.{name}", "0.0")
            forms.add(form_of_pixels(2, 1))
    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        forms.add(form_of_pixels(2, 1))
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        forms.add(form_of_pixels(2, 1))
    with monkeypatch.context() as patch:
        patch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "another")
        forms.add(form_of_pixels(2, 1))
    assert len(forms) == 8
    assert form_of_pixels(2, 1) == FORM


def test_a_file_cut_anywhere_is_an_empty_cache(path: Path) -> None:
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        assert read(path) == [None] * 3, size
    path.write_bytes(content + b"x")
    assert read(path) == [None] * 3


def test_no_changed_byte_gives_other_pixels(path: Path) -> None:
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        for found, written in zip(read(path), PIXELS.values(), strict=True):
            assert found in (None, written), position


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 zip", b"\x80\x04\x95 pickle" * 100, b"\x93NUMPY" * 100])
def test_a_foreign_file_is_an_empty_cache(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read(path) == [None] * 3


def test_a_folder_of_that_name_is_an_empty_cache(tmp_path: Path) -> None:
    (tmp_path / "images.bin").mkdir()
    assert read(tmp_path / "images.bin") == [None] * 3
    assert read(tmp_path / "none") == [None] * 3
    assert read(None) == [None] * 3


def test_writing_that_is_interrupted_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def images():
        yield Decoded(bytes(32), bytes(32)), b"1234"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cache(path, images(), 2, 4)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.new"))


def test_what_a_killed_process_left_is_replaced(path: Path) -> None:
    path.with_name("images.bin.new").write_bytes(b"the beginning of a cac")
    write(path)
    assert read(path) == list(PIXELS.values())
    assert not list(path.parent.glob("*.new"))


def test_a_nearly_full_disk_is_left_to_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(path.parent)._replace(free=300)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write(path)
    assert read(path) == list(PIXELS.values())
