"""Names of classes as users give them: with commas, or in a file."""

from pathlib import Path

import pytest

from al_lightning.data.class_names import check_class_names, names_in
from al_lightning.errors import InputError


@pytest.mark.parametrize("names", [["no", False], [1, 2], "cat", [None]])
def test_names_that_are_no_list_of_text_are_refused(names) -> None:
    with pytest.raises(InputError, match="Expected a list of names of classes, each of them text, but got"):
        check_class_names(names)


@pytest.mark.parametrize("name", ["a\nb", "tab\there", "\udcff"])
def test_names_that_are_no_line_of_text_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="one line of text"):
        check_class_names(["b", name])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat,dog", ("cat", "dog")),
        (" cat ,  hot dog,Müll ", ("cat", "hot dog", "Müll")),
        ('"New York, NY", Boston', ("New York, NY", "Boston")),
        ("no, 01, true", ("no", "01", "true")),
        ("cat\nhot dog\n", ("cat", "hot dog")),
        ("[cat, dog]", None),
        ('["a, b", "c"]', None),
        ("cat", None),
        ("10", None),
        ("x" * 5000, None),
        ("a\0b", None),
    ],
)
def test_names_with_commas(text: str, names: tuple[str, ...] | None) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_file_has_a_name_in_each_line(tmp_path: Path, bom: str) -> None:
    path = tmp_path / "names of classes"
    path.write_bytes(f"{bom}Müll\r\n hot dog \r\n\r\nNew York, NY\r\n".encode())
    assert names_in(str(path)) == ("Müll", "hot dog", "New York, NY")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cat,,dog", "`data.classes` without blanks.*but got an empty one"),
        ("cat, dog,", "but got an empty one"),
        ("cat, dog, cat", "but got `cat` twice"),
        ("caf\u00e9, cafe\u0301", "twice"),
        ("cat, Skip", "other than skip and unlabeled, but got `Skip`"),
        ("names.txt", "there is no names.txt"),
        ("lists/names", "there is no lists/names"),
        ("/", "it is a folder"),
    ],
)
def test_names_that_are_none_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence):
        names_in(text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "to have a name in each line, but it has none"),
        (b"cat\ndog\ncat\n", "classes in .*names.txt without.*but got `cat` twice"),
        ("Müll\n".encode("cp1252"), "to be a text file in UTF-8"),
    ],
)
def test_a_file_without_names_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        names_in(str(path))
