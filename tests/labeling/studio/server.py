"""A small server that answers as Label Studio 1.23 was recorded to answer.

``recorded.json`` has the replies of a real server; ``scripts/try_label_studio/record.py`` made it. Each reply here is a
copy of a recorded one, with the numbers and contents of the moment.
"""

import copy
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

RECORDED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "header.personal.signature"
EMAIL = RECORDED["user"]["body"]["email"]
Reply = tuple[int, str | None, Any]


def recorded(name: str, **changes: Any) -> Reply:
    """A recorded reply; a body with other values at some keys."""
    one = copy.deepcopy(RECORDED[name])
    if changes:
        one["body"] |= changes
    return one["status"], one["type"], one["body"]


class StudioServer:
    """Label Studio, as far as this package asks it. Change its attributes to change what it does."""

    def __init__(self) -> None:
        self.projects: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, dict[str, Any]] = {}
        self.uploads: dict[int, list[tuple[str, bytes]]] = {}
        """Paths and contents of the files of each project."""
        self.storages: dict[int, list[dict[str, Any]]] = {}
        self.legacy_is_on = True
        self.document_root: str | None = "/"
        """``None`` if the server does not show its own files."""
        self.requests: list[str] = []
        """Methods and paths of all requests."""
        self.access = 0
        """Number of access tokens that were given; only the last one is good."""
        self.before: Callable[[str], Reply | None] = lambda request: None
        """May answer a request instead of the server, or raise ConnectionAbortedError to hang up before it."""
        self.after: Callable[[str], None] = lambda request: None
        """May raise ConnectionAbortedError to hang up when a request is done."""

    def annotate(self, task: int, choice: str | None, user: int = 1) -> None:
        """Adds the annotation of a person; a skip if there is no choice."""
        annotation = copy.deepcopy(RECORDED["cancelled" if choice is None else "annotation"]["body"])
        annotation |= {"id": 100 + task, "task": task, "completed_by": user}
        if choice is not None:
            annotation["result"][0]["value"]["choices"] = [choice]
        self.tasks[task]["annotations"].append(annotation)

    def delete_project(self, number: int) -> None:
        """Deletes a project with its tasks."""
        del self.projects[number]
        self.tasks = {id: task for id, task in self.tasks.items() if task["project"] != number}

    # ----------------------------------------------------------------------------------------------------- replies

    def reply(self, method: str, target: str, headers: Any, body: bytes) -> Reply:
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        path = parts.path.rstrip("/")
        if path == "/api/token/refresh":
            if json.loads(body)["refresh"] != PERSONAL:
                return recorded("wrong personal token")
            self.access += 1
            return recorded("access token", access=self._access_token())
        if refusal := self._refusal(headers.get("Authorization")):
            return refusal
        if path == "/api/current-user/whoami":
            return recorded("user")
        if path == "/api/users":
            return recorded("users")
        if path == "/api/projects":
            return self._create(json.loads(body)) if method == "POST" else self._list_projects(query["title"])
        if path == "/api/tasks":
            return self._list_tasks(query)
        if path.startswith("/api/storages/localfiles"):
            return self._storage(method, path, query, body)
        found = re.fullmatch(r"/api/projects/(\d+)(/import|/file-uploads)?", path)
        if not found:
            return recorded("import to no project")  # a page in HTML
        number, what = int(found.group(1)), found.group(2)
        if number not in self.projects:
            return recorded("import to no project" if what == "/import" else "no project")
        if what == "/import":
            is_upload = query.get("commit_to_project") == "false"
            return self._upload(number, headers, body) if is_upload else self._import(number, json.loads(body))
        if what == "/file-uploads":
            return 200, "application/json", [{"file": path} for path, _ in self.uploads.get(number, [])]
        if method == "PATCH":
            self._change(number, json.loads(body))
        return 200, "application/json", self.projects[number]

    def _access_token(self) -> str:
        return f"header.access{self.access}.signature"

    def _refusal(self, authorization: str | None) -> Reply | None:
        kind, _, token = (authorization or "").partition(" ")
        if kind == "Token":
            if token != LEGACY:
                return recorded("wrong key")
            return None if self.legacy_is_on else recorded("legacy is off")
        if kind == "Bearer":
            return None if token == self._access_token() else recorded("wrong access token")
        return recorded("no key")

    def _create(self, settings: dict[str, Any]) -> Reply:
        if len(settings["title"]) > 50:
            return recorded("project refused")
        number = max(self.projects, default=0) + 1
        self.projects[number] = recorded("empty project", id=number, title=settings["title"])[2]
        self._change(number, settings)
        return 201, "application/json", self.projects[number]

    def _change(self, number: int, settings: dict[str, Any]) -> None:
        self.projects[number] |= settings
        self.projects[number]["parsed_label_config"] = parsed(self.projects[number]["label_config"])

    def _list_projects(self, title: str) -> Reply:
        found = [project for project in self.projects.values() if title.lower() in project["title"].lower()]
        return recorded("projects", count=len(found), results=found)

    def _import(self, number: int, tasks: list[dict[str, Any]]) -> Reply:
        shown = self.projects[number]["parsed_label_config"].get("label", {}).get("to_name", [])
        if any(name not in task["data"] for task in tasks for name in shown):
            return recorded("import refused")
        template = RECORDED["open tasks"]["body"]["tasks"][0]
        for task in tasks:
            id = max(self.tasks, default=0) + 1
            self.tasks[id] = copy.deepcopy(template) | task | {"id": id, "project": number, "annotations": []}
            for prediction in task.get("predictions", []):
                self.projects[number]["model_version"] = (
                    self.projects[number]["model_version"] or prediction["model_version"]
                )
        return recorded("imported", task_count=len(tasks))

    def _upload(self, number: int, headers: Any, body: bytes) -> Reply:
        message = BytesParser().parsebytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        files = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
        for place, part in enumerate(files.values()):  # of files with one name, the last one counts
            name = str(part.get_filename())
            if name.rpartition(".")[2] not in ("bmp", "gif", "jpeg", "jpg", "png", "webp"):
                return recorded("upload refused")
            path = f"upload/{number}/{len(self.uploads.get(number, [])):04x}{place:04x}-{name}"
            self.uploads.setdefault(number, []).append((path, part.get_payload(decode=True)))
        return recorded("uploaded", task_count=len(files))

    def _list_tasks(self, query: dict[str, str]) -> Reply:
        if int(query["project"]) not in self.projects:
            return recorded("tasks of no project")
        found = [task for task in self.tasks.values() if task["project"] == int(query["project"])]
        for item in json.loads(query["query"])["filters"]["items"]:
            name = item["filter"].removeprefix("filter:tasks:data.")
            found = [task for task in found if task["data"].get(name) == item["value"]]
        size, page = int(query["page_size"]), int(query["page"])
        shown = found[size * (page - 1) : size * page]
        if page > 1 and not shown:
            return recorded("no page")
        return recorded("tasks", total=len(found), tasks=shown)

    def _storage(self, method: str, path: str, query: dict[str, str], body: bytes) -> Reply:
        if method == "GET":
            return 200, "application/json", self.storages.get(int(query["project"]), [])
        settings = json.loads(body)
        root = self.document_root
        if root is None:
            return recorded("storage refused")
        if settings["path"] == root or not settings["path"].startswith(root):
            status, type, refusal = recorded("root refused")
            (text,) = refusal["validation_errors"]["non_field_errors"]
            refusal["validation_errors"]["non_field_errors"] = [text.replace('ROOT="/"', f'ROOT="{root}"')]
            return status, type, refusal
        if path.endswith("/validate"):
            return recorded("folder allowed")
        storage = recorded("storage", path=settings["path"], project=settings["project"])[2]
        self.storages.setdefault(settings["project"], []).append(storage)
        return 201, "application/json", storage


def parsed(config: str) -> dict[str, Any]:
    """A labeling interface as Label Studio understands it."""
    view = ElementTree.fromstring(config)
    objects = {element.get("name"): element for element in view if element.get("value", "").startswith("$")}
    found = {}
    for control in view.iter("Choices"):
        shown = str(control.get("toName"))
        value = objects[shown].get("value", "")[1:]
        found[str(control.get("name"))] = {
            "type": "Choices",
            "to_name": [shown],
            "inputs": [{"type": objects[shown].tag, "valueType": None, "value": value}],
            "labels": [choice.get("value") for choice in control],
        }
    return found


@contextmanager
def running(server: StudioServer) -> Iterator[str]:
    """Runs a server in a thread; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {self.path}"
            server.requests.append(request)
            try:
                reply = server.before(request) or server.reply(self.command, self.path, self.headers, body)
                server.after(request)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            self.send(*reply)

        do_GET = do_POST = do_PATCH = handle_any

        def send(self, status: int, type: str | None, body: Any) -> None:
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            if type is not None:
                self.send_header("Content-Type", type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
