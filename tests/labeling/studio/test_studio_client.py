"""Requests, both kinds of keys, and what goes wrong with a server, each in one sentence."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from al_lightning.errors import InputError
from al_lightning.labeling.studio import client as module
from al_lightning.labeling.studio.client import Away, Missing, StudioClient, checked_url
from al_lightning.labeling.studio.key import VARIABLE
from tests.labeling.studio.server import EMAIL, LEGACY, PERSONAL, Reply, StudioServer, recorded, running


@pytest.fixture
def server() -> StudioServer:
    return StudioServer()


@pytest.fixture
def url(server: StudioServer) -> Iterator[str]:
    with running(server) as address:
        yield address


@pytest.mark.parametrize("key", [LEGACY, PERSONAL])
def test_both_kinds_of_keys(url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert StudioClient(url, key).user()["email"] == EMAIL
    monkeypatch.setenv(VARIABLE, f" {key}\n")
    assert StudioClient(url).user()["email"] == EMAIL


def test_an_access_token_that_expires_is_renewed_and_only_then(server: StudioServer, url: str) -> None:
    client = StudioClient(url, PERSONAL)
    for _ in range(3):
        client.user()
    assert server.access == 1
    server.access = 7  # the first token is no longer good
    created = client.create_project({"title": "photos", "label_config": "<View/>"})
    assert server.access == 8
    assert [project["id"] for project in client.projects("PHOTO")] == [created["id"]]
    assert server.access == 8


def test_a_netrc_file_and_a_proxy_change_nothing(url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1\nlogin me\npassword mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert StudioClient(url, LEGACY).user()["email"] == EMAIL


def test_all_pages_of_tasks(server: StudioServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    client = StudioClient(url, LEGACY)
    project = client.create_project({"title": "photos", "label_config": "<View/>"})["id"]
    data = [{"run": run, "round": round, "index": index} for run in "ab" for round in (1, 2) for index in range(5)]
    client.import_tasks(project, [{"data": one} for one in data])
    found = client.tasks(project, "b", 2)
    assert [task["data"] for task in found] == [{"run": "b", "round": 2, "index": index} for index in range(5)]
    assert client.tasks(project, "b", 3) == []
    listed = [request for request in server.requests if request.startswith("GET /api/tasks")]
    assert len(listed) == 3 + 1


def test_a_server_that_knows_no_filters_gives_the_same_tasks(server: StudioServer, url: str) -> None:
    client = StudioClient(url, LEGACY)
    project = client.create_project({"title": "photos", "label_config": "<View/>"})["id"]
    client.import_tasks(project, [{"data": {"run": run, "round": 1, "index": 3}} for run in "ab"])
    both = [task for _, task in sorted(server.tasks.items())]
    server.before = lambda request: recorded("tasks", total=2, tasks=both) if "/api/tasks" in request else None
    assert [task["data"]["run"] for task in client.tasks(project, "b", 1)] == ["b"]


def test_people_have_addresses_if_the_user_may_see_them(server: StudioServer, url: str) -> None:
    client = StudioClient(url, LEGACY)
    assert client.names_of_users() == {1: EMAIL}
    server.before = lambda request: (403, "application/json", {"detail": "You do not have permission."})
    assert client.names_of_users() == {}


def hang_up(request: str) -> Reply:
    raise ConnectionAbortedError


def always(*reply: Any) -> Callable[[str], Reply]:
    return lambda request: reply


REFUSALS: dict[str, tuple[str, Callable[[str], Reply | None] | None, type[InputError], str]] = {
    "wrong legacy token": ("0" * 40, None, InputError, f"Expected {VARIABLE} to be a key for .*: Invalid token.$"),
    "wrong personal token": ("a.b.c", None, InputError, f"Expected {VARIABLE} to be a key for .*: Token is invalid.$"),
    "page": (LEGACY, always(404, "text/html", "<html>"), Missing, "but it has no /api/current-user/whoami"),
    "another program": (LEGACY, always(200, "text/html", "<html>"), InputError, "but something else answers there"),
    "other JSON": (LEGACY, always(200, "application/json", {}), InputError, "something else answers there: it names"),
    "a list": (LEGACY, always(200, "application/json", []), InputError, "something else answers there: it names"),
    "torn JSON": (LEGACY, always(200, "application/json", '{"a'), InputError, "but something else answers there"),
    "another error": (LEGACY, always(418, "text/plain", "tea"), InputError, "something else answers there: 418"),
    "hangs up": (LEGACY, hang_up, Away, "to answer, but got: the connection broke"),
    "starts up": (LEGACY, always(502, "text/html", "<html>"), Away, "to be ready, but it answers: 502 Bad Gateway"),
    "too many": (LEGACY, always(429, "application/json", {"detail": "Slow down."}), Away, "ready, .*: Slow down.$"),
    "forbidden": (
        LEGACY,
        always(403, "application/json", {"detail": "No."}),
        InputError,
        f"Expected {VARIABLE} .* No.$",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_goes_wrong_is_one_sentence_without_the_key(case: str, server: StudioServer, url: str) -> None:
    key, before, kind, words = REFUSALS[case]
    if before is not None:
        server.before = before
    with pytest.raises(kind, match=words) as error:
        StudioClient(url, key).user()
    text = str(error.value)
    assert "\n" not in text
    assert text.count("Expected") == 1
    assert key not in text
    assert url in text


def test_legacy_tokens_may_be_off(server: StudioServer, url: str) -> None:
    server.legacy_is_on = False
    with pytest.raises(InputError, match="legacy token authentication has been disabled for this organization"):
        StudioClient(url, LEGACY).user()


def test_nobody_listens() -> None:
    with pytest.raises(Away, match=r"`loop.oracle.url` http://127.0.0.1:9 to answer, but got: Connection refused"):
        StudioClient("http://127.0.0.1:9", LEGACY).user()


def test_an_address_that_sends_elsewhere_is_named(server: StudioServer, url: str) -> None:
    """The library would follow, make a GET of a POST, and drop the key."""
    server.before = lambda request: (301, None, "")
    with pytest.raises(InputError, match="the address of Label Studio itself, but .* sends to another address"):
        StudioClient(url, LEGACY).create_project({"title": "photos"})


@pytest.mark.parametrize("key", [None, "", " ", "two words", "schlüssel", "a\nb"])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if key is not None:
        monkeypatch.setenv(VARIABLE, key)
    with pytest.raises(InputError, match=f"Expected the environment variable {VARIABLE}") as error:
        StudioClient("http://127.0.0.1:9")
    assert (key or "-").strip() not in str(error.value) or not (key or "").strip()


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        (" https://label.example.org/ ", "https://label.example.org"),
        ("https://example.org/label-studio/", "https://example.org/label-studio"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses(url: str, server: str) -> None:
    assert checked_url(url) == server


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "localhost:8080",
            "to be the address of Label Studio, such as http://localhost:8080, but got `localhost:8080`",
        ),
        ("", "to be the address of Label Studio"),
        ("ftp://a.org", "to be the address of Label Studio"),
        ("http://me:secret@a.org", "without a user and a password"),
        (
            "http://a.org:8080/projects/7/data?tab=2",
            r"Expected `loop.oracle.url` http://a.org:8080 and `loop.oracle.project` 7, but got the page",
        ),
        ("http://a.org/ls/projects/", r"Expected `loop.oracle.url` http://a.org/ls, but got the page"),
        ("http://a.org/user/login/", r"Expected `loop.oracle.url` http://a.org, but got the page"),
    ],
)
def test_addresses_that_are_none_are_refused(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        checked_url(url)
    assert "secret" not in str(error.value)


def test_the_longest_answer_of_a_server_is_one_line(server: StudioServer, url: str) -> None:
    details = {"validation_errors": {"title": ["too\nlong"], "non_field_errors": ["x " * 1000]}}
    server.before = always(400, "application/json", details)
    with pytest.raises(InputError, match=r"but got: title: too long x x .* \.\.\.\.$") as error:
        StudioClient(url, LEGACY).user()
    assert len(str(error.value)) < 500


def test_recorded_replies_are_those_of_the_version_that_is_named() -> None:
    assert recorded("version")[2]["release"].startswith("1.23.")
    assert "Token" not in json.dumps(recorded("user"))
