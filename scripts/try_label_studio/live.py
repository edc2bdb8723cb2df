"""From a folder of photos to three rounds with the real Label Studio, in a browser: see ``run``.

This file runs in the environment of Label Studio. ``--python`` is the one that has al-lightning.
"""

import argparse
import csv
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from PIL import Image, ImageDraw
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

EMAIL, PASSWORD, LEGACY = "first@example.org", "only-for-a-trial", "0123456789abcdef0123456789abcdef01234567"
CLASSES = ["Kreis", "drei Ecken", "Größe 4"]  # an umlaut and spaces
SIZES = [(300, 200), (64, 64), (900, 1400)]
QUERY_SIZE = 6
CLICKED = 3  # answers of a round that are given in the browser
QUIET = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "DJANGO_DB": "sqlite",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="the python that has al-lightning")
    parser.add_argument("--out", type=Path, required=True, help="a folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    make_photos(options.out / "photos")
    with running_server(options.out) as url, browser() as driver:
        journey = Journey(url, options.python, options.out, driver)
        journey.go()
    print(f"All is well; screenshots are in {options.out}.")


def check(is_so: bool, what: str) -> None:
    print(f"{'ok' if is_so else 'NOT SO'}: {what}", flush=True)
    if not is_so:
        sys.exit(1)


def make_photos(folder: Path) -> None:
    """Draws circles, triangles and squares; three of each are in folders of their classes."""
    rng = random.Random(0)
    for number in range(75):
        kind, (width, height) = number % 3, SIZES[number // 3 % 3]
        image = Image.new("RGB", (width, height), tuple(rng.randrange(160, 256) for _ in range(3)))
        draw, (x, y, r) = (
            ImageDraw.Draw(image),
            (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6), width / 4),
        )
        ink = tuple(rng.randrange(100) for _ in range(3))
        if kind == 0:
            draw.ellipse((x - r, y - r, x + r, y + r), ink)
        elif kind == 1:
            draw.polygon(((x, y - r), (x - r, y + r), (x + r, y + r)), ink)
        else:
            draw.rectangle((x - r, y - r, x + r, y + r), ink)
        place = folder / CLASSES[kind] if number < 9 else folder
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{kind} é {number}{'.tif' if number % 10 == 9 else '.png'}")


@contextmanager
def running_server(out: Path) -> Iterator[str]:
    """Starts Label Studio; yields its address when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("label-studio")), "start", "--no-browser"]
    command += ["--internal-host", "127.0.0.1", "--port", str(port), "--username", EMAIL, "--password", PASSWORD]
    command += ["--user-token", LEGACY]
    folders = {"LABEL_STUDIO_BASE_DATA_DIR": str(out / "server"), "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(out)}
    env = {**os.environ, **QUIET, **folders, "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true"}
    (out / "server").mkdir(exist_ok=True)
    with (out / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: answers(url), 600, "Label Studio starts")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/version", timeout=5).ok
    except requests.RequestException:
        return False


def until(is_so: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := is_so():
            return found
        time.sleep(0.5)
    check(False, f"{what}, within {seconds:.0f} seconds")
    return None


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    profile = tempfile.mkdtemp()
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    flags = ["headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"]
    flags += ["disable-component-update", "disable-sync", "window-size=1280,900", f"user-data-dir={profile}"]
    for flag in flags:
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


class Journey:
    """The commands of a person, and what the person sees."""

    def __init__(self, url: str, python: str, out: Path, driver: webdriver.Chrome) -> None:
        self.url, self.python, self.out, self.driver = url, python, out, driver
        self.run = out / "run"
        self.answered: dict[int, str] = {}
        self.session, self.key = self.sign_in()

    def sign_in(self) -> tuple[requests.Session, str]:
        """Signs in as people do, here and in the browser; returns a session and a personal access token."""
        session, page = requests.Session(), f"{self.url}/user/login"
        session.get(page)
        form = {"email": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        session.post(page, data=form, headers={"Referer": page}).raise_for_status()
        session.headers.update({"X-CSRFToken": session.cookies["csrftoken"], "Referer": self.url})
        token = session.post(f"{self.url}/api/token/").json()["token"]
        self.driver.get(page)
        self.driver.find_element(By.NAME, "email").send_keys(EMAIL)
        self.driver.find_element(By.NAME, "password").send_keys(PASSWORD)
        self.driver.find_element(By.CSS_SELECTOR, "[type=submit]").click()
        until(lambda: "/user/login" not in self.driver.current_url, 60, "the browser is signed in")
        return session, token

    def al_lightning(self, *words: str, key: str | None = None, code: int = 0) -> str:
        env = {**os.environ, "LABEL_STUDIO_API_KEY": key or self.key}
        command = [self.python, "-m", "al_lightning", *words]
        done = subprocess.run(command, cwd=self.out, env=env, capture_output=True, text=True)
        text = done.stdout + done.stderr
        check(done.returncode == code, f"al-lightning {words[0]} ends with code {code}: {text.strip()[-300:]}")
        check("Traceback" not in text, "it ends without a traceback")
        return text

    def begin(self, **changes: Any) -> list[str]:
        settings = {"loop.oracle": "LabelStudioOracle", "loop.oracle.url": self.url, "loop.run_dir": "run", **changes}
        flags = {"data": "ImageFolder", "data.root": "photos", "data.classes": json.dumps(CLASSES)} | settings
        flags |= {"data.image_size": 16, "data.test_fraction": 0, "model": "DropoutMLP"}
        flags |= {"loop.query_size": QUERY_SIZE, "loop.num_rounds": 4, "trainer.max_epochs": 20}
        return ["fit", *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]

    def go(self) -> None:
        self.refusals()
        for round in range(3):
            text = self.al_lightning(*(self.begin() if round == 0 else ["fit", "run"]))
            check(f"waits for {QUERY_SIZE} labels" in text, f"round {round} asks")
            self.see_and_answer(round)
            if round != 1:  # fit takes the answers, too
                text = self.al_lightning("label", "run")
                check("All is answered" in text, f"all answers of round {round} come back")
                self.check_labels()
        self.wait()
        self.local()

    def refusals(self) -> None:
        text = self.al_lightning(*self.begin(), key=LEGACY, code=2)
        check("legacy token authentication has been disabled" in text, "a legacy token is refused where they are off")
        on = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        self.session.post(f"{self.url}/api/jwt/settings", json=on).raise_for_status()
        text = self.al_lightning(*self.begin(), key="wrong", code=2)
        check("Invalid token" in text, "a wrong key is said")
        text = self.al_lightning(*self.begin(**{"loop.oracle.project": 99}), key=LEGACY, code=2)
        check("there is no project 99" in text, "a legacy token is good, and a project that is none is said")

    # ------------------------------------------------------------------------------------------------ what people see

    def state(self) -> dict[str, Any]:
        return json.loads((self.run / "label_studio.json").read_text())

    def task(self, number: int) -> dict[str, Any]:
        return self.session.get(f"{self.url}/api/tasks/{number}").json()

    def see_and_answer(self, round: int) -> None:
        """Answers some questions in the browser and the others by the API, all by what the files are called."""
        state = self.state()
        tasks = {number: int(index) for index, number in state["tasks"][str(round + 1)].items()}
        check(len(tasks) == QUERY_SIZE, f"round {round} has {QUERY_SIZE} tasks")
        self.driver.get(f"{self.url}/projects/{state['project']}/data?labeling=1")
        for click in range(CLICKED):
            number = until(lambda: self.shown(tasks), 90, "a task is shown")
            task = self.task(number)
            image = until(self.image, 60, "its image is shown")
            check(max(image.size.values()) <= 600, f"the image is at most 600 pixels: {image.size}")
            predicted = task["predictions"][0]["result"][0]["value"]["choices"]
            chosen = until(self.chosen, 30, "a choice is preselected")
            check(chosen == predicted, f"the prediction of round {round} is preselected: {chosen}")
            boxes = [box.rect for box in self.driver.find_elements(By.CSS_SELECTOR, ".lsf-choice")]
            check(len({box["y"] for box in boxes}) == 1, "the choices are in one line")
            check(max(box["y"] for box in boxes) < image.location["y"], "the choices are above the image")
            self.driver.save_screenshot(str(self.out / f"round{round}-{click}.png"))
            self.answered[tasks.pop(number)] = self.click(number, self.truth(task))
        for number, index in tasks.items():
            self.answer(number, index)

    def click(self, number: int, truth: str) -> str:
        """Chooses a class by a click, unless it is preselected, and submits it."""
        if self.chosen() != [truth]:
            self.driver.find_element(By.XPATH, f"//label[contains(., '{truth}')]").click()
            until(lambda: self.chosen() == [truth], 30, "the click chooses another class")
        self.driver.find_element(By.XPATH, "//button[contains(., 'Submit')]").click()
        until(lambda: self.task(number)["annotations"], 60, f"{truth} is submitted")
        return truth

    def answer(self, number: int, index: int) -> None:
        truth = self.truth(self.task(number))
        value = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [truth]}}
        self.session.post(f"{self.url}/api/tasks/{number}/annotations/", json={"result": [value]}).raise_for_status()
        self.answered[index] = truth

    def shown(self, tasks: dict[int, int]) -> int | None:
        """The number of the task that the page shows, if it is one of these."""
        text = self.driver.execute_script("return document.body.innerText")
        found = re.search(r"^(\d+)\n\d+ of \d+$", text, re.MULTILINE)
        return int(found.group(1)) if found and int(found.group(1)) in tasks else None

    def image(self) -> Any:
        images = self.driver.find_elements(By.CSS_SELECTOR, "img[src^=blob], img[src*='/data/']")
        return next((one for one in images if int(one.get_attribute("naturalWidth") or 0) and one.size["width"]), None)

    def chosen(self) -> list[str]:
        found = self.driver.find_elements(By.CSS_SELECTOR, ".lsf-choice .ant-checkbox-wrapper-checked")
        return [re.sub(r"\[\d+\]$", "", one.text) for one in found]

    @staticmethod
    def truth(task: dict[str, Any]) -> str:
        return CLASSES[int(Path(task["data"]["file"]).name[0])]

    def check_labels(self) -> None:
        with (self.run / "queries.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["round"] != "0"]
        labels = {int(row["index"]): CLASSES[int(row["label"])] for row in rows}
        check(labels == self.answered, f"queries.csv has the {len(labels)} labels that were given")

    # -------------------------------------------------------------------------------------------- what needs no command

    def wait(self) -> None:
        """The last round: ``fit --wait`` asks, waits and goes on by itself."""
        env = {**os.environ, "LABEL_STUDIO_API_KEY": LEGACY}
        command = [self.python, "-m", "al_lightning", "fit", "run", "--wait", "1"]
        process = subprocess.Popen(command, cwd=self.out, env=env, stdout=subprocess.PIPE, text=True)
        tasks = until(lambda: self.state()["tasks"].get("4"), 300, "the last round asks")
        for index, number in tasks.items():
            self.answer(number, int(index))
        text = process.communicate(timeout=300)[0]
        check(process.returncode == 0 and "Finished" in text, f"fit --wait goes on by itself: {text[-300:]}")
        self.check_labels()

    def local(self) -> None:
        """Images on the server's own disk are shown, too."""
        words = self.begin(**{"loop.oracle.images": "local", "loop.run_dir": "local"})
        self.al_lightning(*words)
        self.run = self.out / "local"
        state = self.state()
        self.driver.get(f"{self.url}/projects/{state['project']}/data?labeling=1")
        until(lambda: self.shown(dict.fromkeys(state["tasks"]["1"].values())), 90, "a task of local images is shown")
        until(self.image, 60, "a local image is shown")
        self.driver.save_screenshot(str(self.out / "local.png"))


if __name__ == "__main__":
    main()
