"""Records what a Label Studio server answers, for tests/labeling/studio/recorded.json.

    python scripts/try_label_studio/record.py http://127.0.0.1:8080 LEGACY_TOKEN PERSONAL_TOKEN FOLDER

The server must show local files below ``/``. FOLDER is one that it may show. The projects that are made stay there. The
tokens are not in the file.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

import requests
from PIL import Image

from al_lightning.labeling.label_studio import labeling_config, task
from al_lightning.run_folder.tables import Query

OUT = Path(__file__).parents[2] / "tests" / "labeling" / "studio" / "recorded.json"
RUN, NAMES = "0a1b2c3d", ["cat", "Größe", "a dog"]


class Recorder:
    """Sends requests, and keeps the replies by name."""

    def __init__(self, url: str, legacy: str, personal: str, folder: str) -> None:
        self.url, self.legacy, self.personal, self.folder = url, legacy, personal, folder
        self.replies: dict[str, dict[str, Any]] = {}

    def ask(self, name: str, method: str, path: str, authorization: str | None = "", **content: Any) -> Any:
        """Sends a request with the legacy token, or with another authorization."""
        given = f"Token {self.legacy}" if authorization == "" else authorization
        headers = {} if given is None else {"Authorization": given}
        reply = requests.request(method, self.url + path, headers=headers, timeout=60, **content)
        kind = reply.headers.get("Content-Type")
        body = reply.json() if kind and "json" in kind and reply.content else reply.text[:200]
        asked = f"{method} {reply.request.path_url}"
        self.replies[name] = {"request": asked, "status": reply.status_code, "type": kind, "body": body}
        return body

    def allow_legacy_tokens(self, is_on: bool) -> None:
        refreshed = requests.post(f"{self.url}/api/token/refresh", json={"refresh": self.personal}, timeout=60).json()
        headers = {"Authorization": f"Bearer {refreshed['access']}"}
        settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": is_on}
        requests.post(f"{self.url}/api/jwt/settings", headers=headers, json=settings, timeout=60).raise_for_status()

    def keys(self) -> None:
        self.allow_legacy_tokens(False)
        self.ask("legacy is off", "GET", "/api/current-user/whoami")
        self.allow_legacy_tokens(True)
        version = self.ask("version", "GET", "/api/version", None)
        self.replies["version"]["body"] = {"release": version["release"]}
        self.ask("no key", "GET", "/api/projects", None)
        self.ask("wrong key", "GET", "/api/projects", "Token wrong")
        self.ask("wrong access token", "GET", "/api/projects", "Bearer a.b.c")
        self.ask("access token", "POST", "/api/token/refresh", None, json={"refresh": self.personal})
        self.replies["access token"]["body"] = {"access": "HEADER.ACCESS.SIGNATURE"}
        wrong = f"{self.personal[:-3]}abc"
        self.ask("wrong personal token", "POST", "/api/token/refresh", None, json={"refresh": wrong})
        self.ask("user", "GET", "/api/current-user/whoami")
        self.ask("users", "GET", "/api/users/")

    def projects(self) -> int:
        config = labeling_config(NAMES)
        settings = {"title": f"photos ({RUN})", "description": "Questions", "label_config": config}
        number = self.ask("project created", "POST", "/api/projects", json=settings)["id"]
        self.ask("project refused", "POST", "/api/projects", json={"title": "x" * 60})
        empty = self.ask("empty project", "POST", "/api/projects", json={"title": "empty"})["id"]
        self.ask("project changed", "PATCH", f"/api/projects/{empty}/", json={"label_config": config})
        self.ask("model version refused", "PATCH", f"/api/projects/{number}/", json={"model_version": "nope"})
        self.ask("projects", "GET", "/api/projects", params={"title": RUN, "page_size": 100})
        self.ask("no project", "GET", "/api/projects/999999")
        return number

    def uploads(self, number: int) -> list[str]:
        image = io.BytesIO()
        Image.new("RGB", (3, 2)).save(image, "PNG")
        path = f"/api/projects/{number}/import?commit_to_project=false"
        files = {f"file{index}": (f"{RUN}-{index}.png", image.getvalue()) for index in (7, 8, 9)}
        self.ask("uploaded", "POST", path, files=files)
        self.ask("upload refused", "POST", path, files={"file0": ("a.tif", b"abc")})
        return [one["file"] for one in self.ask("uploads", "GET", f"/api/projects/{number}/file-uploads?all=true")]

    def tasks(self, number: int, uploads: list[str]) -> None:
        questions = [
            Query(2, order, order + 7, None, None, 1, 0.5, f"photos/é {order}.png") for order in range(len(uploads))
        ]
        made = [task(one, NAMES, f"/data/{file}") for one, file in zip(questions, uploads, strict=True)]
        for one in made:
            one["data"]["run"] = RUN
        self.ask("imported", "POST", f"/api/projects/{number}/import", json=made)
        self.ask("import refused", "POST", f"/api/projects/{number}/import", json=[{"data": {"text": "x"}}])
        self.ask("import to no project", "POST", "/api/projects/999999/import", json=made)
        numbers = [one["id"] for one in self.list_tasks("open tasks", number)["tasks"]]
        value = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["cat"]}}
        content: dict[str, Any] = {"result": [value], "lead_time": 3.5}
        self.ask("annotation", "POST", f"/api/tasks/{numbers[0]}/annotations/", json=content)
        content = {"result": [], "was_cancelled": True}
        self.ask("cancelled", "POST", f"/api/tasks/{numbers[1]}/annotations/", json=content)
        self.list_tasks("tasks", number)
        self.list_tasks("no tasks", number, round=3)
        self.list_tasks("no page", number, page=9)
        self.ask("project with tasks", "GET", f"/api/projects/{number}")
        self.ask("tasks of no project", "GET", "/api/tasks", params={"project": 999999})

    def list_tasks(self, name: str, number: int, round: int = 2, page: int = 1) -> Any:
        items = [
            {"filter": f"filter:tasks:data.{what}", "operator": "equal", "type": type, "value": value}
            for what, type, value in (("run", "String", RUN), ("round", "Number", round))
        ]
        query = json.dumps({"filters": {"conjunction": "and", "items": items}})
        params = {"project": number, "fields": "all", "resolve_uri": "false", "page_size": 100, "query": query}
        return self.ask(name, "GET", "/api/tasks", params={**params, "page": page})

    def storages(self, number: int) -> None:
        path, settings = "/api/storages/localfiles", {"project": number, "use_blob_urls": True, "title": "al-lightning"}
        self.ask("storage", "POST", path, json={**settings, "path": self.folder})
        self.ask("storages", "GET", path, params={"project": number})
        self.ask("storage refused", "POST", path, json={**settings, "path": "/nope"})
        self.ask("root refused", "POST", f"{path}/validate", json={**settings, "path": "/"})
        self.ask("folder allowed", "POST", f"{path}/validate", json={**settings, "path": self.folder})

    def write(self) -> None:
        text = json.dumps(self.replies, indent=1, ensure_ascii=False) + "\n"
        assert self.legacy not in text, "a key is in the file"
        assert self.personal not in text, "a key is in the file"
        OUT.write_text(text, encoding="utf-8")


def main() -> None:
    recorder = Recorder(*sys.argv[1:5])
    recorder.keys()
    number = recorder.projects()
    recorder.tasks(number, recorder.uploads(number))
    recorder.storages(number)
    recorder.write()
    print(f"Wrote {len(recorder.replies)} replies to {OUT}.")


if __name__ == "__main__":
    main()
