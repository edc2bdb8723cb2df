"""Requests to a Label Studio server, and what its answers mean (https://api.labelstud.io)."""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests

from al_lightning.errors import InputError
from al_lightning.labeling.studio.key import VARIABLE, Authorization, key_of_environment

SECONDS = (10, 300)
"""How long a request waits for a connection, and for an answer. A server reads a batch of images before it answers."""
PAGE = 100
LONGEST = 300  # of a message that is shown


class Away(InputError):
    """The server does not answer now. It may answer later."""


class Missing(InputError):
    """The server does not have what was asked for."""


class Forbidden(InputError):
    """The user of the key may not do this."""


class Refused(InputError):
    """The server does not accept a request.

    Args:
        url: Its address.
        told: What it says.
    """

    def __init__(self, url: str, told: str) -> None:
        super().__init__(f"Expected Label Studio at {url} to accept a request of al-lightning, but got: {told}.")
        self.told = told


def checked_url(url: str) -> str:
    """Returns the address of a server, without a slash at its end.

    Raises:
        InputError: If it is not the address of a server.
    """
    try:
        parts = urlsplit(url.strip())
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a bracket or a port that is none
        is_address = False
    if not is_address:
        raise InputError(
            f"Expected `loop.oracle.url` to be the address of Label Studio, such as http://localhost:8080, but got "
            f"`{url}`."
        )
    if parts.username or parts.password:
        raise InputError(
            f"Expected `loop.oracle.url` without a user and a password, because it is written to config.yaml; "
            f"{VARIABLE} has the key."
        )
    page = re.search(r"/(projects|user|api)(/(\d+))?(/|$)", parts.path)
    if page or parts.query or parts.fragment:
        number = page.group(3) if page and page.group(1) == "projects" else None
        base = f"{parts.scheme}://{parts.netloc}{parts.path[: page.start()] if page else parts.path.rstrip('/')}"
        also = f" and `loop.oracle.project` {number}" if number else ""
        raise InputError(f"Expected `loop.oracle.url` {base}{also}, but got the page `{url}`.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


class StudioClient:
    """A Label Studio server.

    Args:
        url: Its address.
        key: A legacy token or a personal access token; from the environment if not given.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = checked_url(url)
        self._session = requests.Session()
        self._session.trust_env = not _is_here(self.url)  # a proxy does not find this machine
        self._authorization = Authorization(key or key_of_environment(), self._access_token)

    # ------------------------------------------------------------------------------------------- what a server has

    def user(self) -> dict[str, Any]:
        """The user of the key.

        Raises:
            InputError: If the server is not Label Studio, or does not accept the key.
        """
        user = self._ask("GET", "/api/current-user/whoami")
        if not isinstance(user, dict) or "email" not in user:
            raise self._is_another("it names no user")
        return user

    def project(self, number: int) -> dict[str, Any]:
        """A project.

        Raises:
            Missing: If there is no such project.
        """
        return self._ask("GET", f"/api/projects/{number}")

    def projects(self, title: str) -> list[dict[str, Any]]:
        """Projects with these letters in their titles."""
        return self._ask("GET", "/api/projects", params={"title": title, "page_size": PAGE})["results"]

    def tasks(self, project: int, run: str, round: int) -> list[dict[str, Any]]:
        """The tasks of one round of a run, with their annotations."""
        items = [_is("run", "String", run), _is("round", "Number", round)]
        query = {"filters": {"conjunction": "and", "items": items}}
        params = {
            "project": project,
            "fields": "all",
            "resolve_uri": "false",
            "page_size": PAGE,
            "query": json.dumps(query),
        }
        found = self._pages("/api/tasks", params)
        # a server that does not know the filters gives all tasks
        return [task for task in found if (task["data"].get("run"), task["data"].get("round")) == (run, round)]

    def names_of_users(self) -> dict[int, str]:
        """E-mail addresses of users by number; empty if the user of the key may not see them."""
        try:
            users = self._ask("GET", "/api/users/")
        except Forbidden:
            return {}
        return {user["id"]: user["email"] for user in users if user.get("email")}

    def uploads(self, project: int) -> list[str]:
        """Paths of the files that were uploaded to a project, such as ``upload/7/1a2b3c4d-name.png``."""
        return [
            one["file"] for one in self._ask("GET", f"/api/projects/{project}/file-uploads", params={"all": "true"})
        ]

    # ------------------------------------------------------------------------------------------------ what it gets

    def create_project(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a project."""
        return self._ask("POST", "/api/projects", json=settings)

    def change_project(self, number: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Changes settings of a project."""
        return self._ask("PATCH", f"/api/projects/{number}/", json=settings)

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Adds tasks to a project."""
        self._ask("POST", f"/api/projects/{project}/import", json=tasks)

    def upload(self, project: int, files: Mapping[str, bytes]) -> None:
        """Uploads files by name, and makes no tasks of them."""
        parts = {f"file{number}": (name, content) for number, (name, content) in enumerate(files.items())}
        self._ask("POST", f"/api/projects/{project}/import", params={"commit_to_project": "false"}, files=parts)

    def local_storages(self, project: int) -> list[dict[str, Any]]:
        """The local storages of a project: folders of the server whose files the project shows."""
        return self._ask("GET", "/api/storages/localfiles", params={"project": project})

    def add_local_storage(self, project: int, path: str, is_trial: bool = False) -> None:
        """Adds a folder of the server as local storage, or only asks whether it would do.

        Raises:
            Refused: If the server does not take the folder.
        """
        settings = {"project": project, "path": path, "use_blob_urls": True, "title": "al-lightning"}
        self._ask("POST", f"/api/storages/localfiles{'/validate' if is_trial else ''}", json=settings)

    # ---------------------------------------------------------------------------------------------------- requests

    def _pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        number, num_seen = 1, 0
        while True:
            page = self._ask("GET", path, params={**params, "page": number})
            yield from page["tasks"]
            num_seen += len(page["tasks"])
            if not page["tasks"] or num_seen >= page["total"]:
                return
            number += 1

    def _access_token(self, key: str) -> str:
        reply = self._send("POST", "/api/token/refresh", json={"refresh": key})
        return self._content(reply)["access"]

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        """Sends a request of the user, with a new access token if the old one has expired."""
        reply = self._send(method, path, auth=self._authorization, **content)
        if reply.status_code == requests.codes.unauthorized and self._authorization.is_personal:
            self._authorization.renew()
            reply = self._send(method, path, auth=self._authorization, **content)
        return self._content(reply)

    def _send(self, method: str, path: str, **content: Any) -> requests.Response:
        try:
            return self._session.request(method, self.url + path, timeout=SECONDS, allow_redirects=False, **content)
        except requests.RequestException as error:
            raise Away(
                f"Expected Label Studio at `loop.oracle.url` {self.url} to answer, but got: {_reason(error)}."
            ) from None  # its text may hold the request

    def _content(self, reply: requests.Response) -> Any:
        """The content of a reply.

        Raises:
            InputError: If the reply is a refusal, or is not of Label Studio.
        """
        code, told = reply.status_code, _told(reply)
        if code in (401, 403):
            kind = InputError if code == 401 else Forbidden
            raise kind(f"Expected {VARIABLE} to be a key for Label Studio at {self.url}, but it answers: {told}.")
        if code in (429, 500, 502, 503, 504):
            raise Away(f"Expected Label Studio at `loop.oracle.url` {self.url} to be ready, but it answers: {told}.")
        if 300 <= code < 400:
            raise InputError(
                f"Expected `loop.oracle.url` to be the address of Label Studio itself, but {self.url} sends to "
                f"{reply.headers.get('Location', 'another address')}."
            )
        if code == 404:
            path = urlsplit(reply.url).path
            raise Missing(f"Expected Label Studio at `loop.oracle.url` {self.url}, but it has no {path}.")
        if code >= 400 and "json" in reply.headers.get("Content-Type", ""):
            raise Refused(self.url, told)
        if code == 204 or (code < 300 and not reply.content):
            return None
        try:
            assert code < 300
            return reply.json()
        except (AssertionError, ValueError):
            raise self._is_another(told) from None

    def _is_another(self, told: str) -> InputError:
        return InputError(
            f"Expected Label Studio at `loop.oracle.url` {self.url}, but something else answers there: {told}."
        )


def _is(name: str, type: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:data.{name}", "operator": "equal", "type": type, "value": value}


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _told(reply: requests.Response) -> str:
    """What a refusal says, in one line."""
    try:
        content = reply.json()
        details = content.get("validation_errors") or content.get("detail") or content
    except (ValueError, AttributeError):
        return f"{reply.status_code} {reply.reason}"
    text = " ".join(_texts(details)) if isinstance(details, (dict, list)) else str(details)
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _texts(details: Any) -> Iterator[str]:
    if isinstance(details, dict):
        for name, value in details.items():
            yield from (text if name == "non_field_errors" else f"{name}: {text}" for text in _texts(value))
    elif isinstance(details, list):
        for value in details:
            yield from _texts(value)
    else:
        yield str(details)


def _reason(error: requests.RequestException) -> str:
    """Why there is no answer, in a few words."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not reach it"
    found = re.search(r"\[Errno -?\d+\] ([^'\")]+)", str(error))
    if found:
        return found.group(1).strip()
    return "its name is not known" if "resolve" in str(error) else "the connection broke"
