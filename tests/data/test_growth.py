"""Files that joined, left, moved or changed, and the indices that samples keep."""

from pathlib import Path

import pytest

from al_lightning.data.growth import END, TEST, Growth, KnownFile, file_digest, place, relative_name

RUN = [KnownFile(0, "a.png", "A"), KnownFile(1, "b.png", "B"), KnownFile(2, "c.png", "C")]


def placed(names: str, run: list[KnownFile] = RUN) -> tuple[list[int], Growth]:
    """Places files that are written as `name:digest`."""
    pairs = [pair.split(":") for pair in names.split()]
    found = place(run, [f"{name}.png" for name, _ in pairs], [digest for _, digest in pairs])
    assert len(found.names) == len(found.digests) == len(found.found)
    return found.found, found.growth


@pytest.mark.parametrize(
    ("files", "found", "growth"),
    [
        ("a:A b:B c:C", [0, 1, 2], Growth([], [], [])),
        ("0:X a:A b:B c:C", [1, 2, 3, 0], Growth([3], [], [])),
        ("a:A c:C", [0, -1, 1], Growth([], [1], [])),
        ("a:A b:Y c:C", [0, 1, 2], Growth([], [], [1])),
        ("a:A cat/b:B c:C", [0, 1, 2], Growth([], [], [], {1: "b.png"})),
        ("a:B b:A c:C", [1, 0, 2], Growth([], [], [], {0: "a.png", 1: "b.png"})),
        (
            "a:B b:C",
            [-1, 0, 1],
            Growth([], [0], [], {1: "b.png", 2: "c.png"}),
        ),  # renumbered after the first was deleted
        ("", [-1, -1, -1], Growth([], [0, 1, 2], [])),
    ],
)
def test_samples_keep_their_indices(files: str, found: list[int], growth: Growth) -> None:
    assert placed(files) == (found, growth)


def test_of_copies_the_one_with_the_same_name_is_the_sample() -> None:
    run = [KnownFile(0, "x/a.png", "A"), KnownFile(1, "x/b.png", "A")]
    assert placed("y/b:A y/a:A", run) == ([1, 0], Growth([], [], [], {0: "x/a.png", 1: "x/b.png"}))


def test_a_sample_that_left_comes_back_with_its_content_only() -> None:
    run = [KnownFile(0, "a.png", "A"), KnownFile(1, "b.png", "B", is_there=False)]
    assert placed("a:A", run) == ([0, -1], Growth([], [], []))
    assert placed("a:A new:B", run) == ([0, 1], Growth([1], [], []))
    assert placed("a:A b:X", run) == ([0, -1, 1], Growth([2], [], []))


def test_a_drawn_test_set_stays() -> None:
    run = [KnownFile(TEST, "t.png", "T"), *RUN]
    found = place(run, ["0.png", "a.png", "b.png", "c.png", "t.png"], list("XABCT"))
    assert (found.test, found.found, found.growth.new) == ([4], [1, 2, 3, 0], [3])
    assert found.names == ["a.png", "b.png", "c.png", "0.png"]


def test_a_digest_covers_the_size_and_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = bytes(range(256)) * 1024  # 4 times END
    path.write_bytes(content)
    whole = file_digest(path)
    for position, differs in ((0, True), (END - 1, True), (END, False), (len(content) - END, True), (-1, True)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        assert (file_digest(path) != whole) is differs, position
    path.write_bytes(content + b"x")
    assert file_digest(path) != whole
    path.write_bytes(content[: END + 10])  # the two ends would overlap
    assert file_digest(path) != whole


def test_names_are_relative_and_fit_in_a_table(tmp_path: Path) -> None:
    assert relative_name(tmp_path / "cat" / "é.png", tmp_path) == "cat/é.png"
    assert relative_name(Path("/elsewhere/a.png"), tmp_path) == "/elsewhere/a.png"
    assert relative_name(tmp_path / "\udcff.png", tmp_path) == "\\udcff.png"
