"""Sweeps on Ray."""

import http.server
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from al_lightning.errors import InputError
from al_lightning.run_folder import read_rounds
from al_lightning.sweep import run_plan
from al_lightning.sweep.ray_address import cluster_address
from tests.sweep.studies import refused, start, study, write_study


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Ray of this test alone, whatever runs on the machine. The path of a socket has to be short."""
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_ADDRESS", "local")
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing, as a process does that was stopped."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(20)
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.mark.usefixtures("own_ray")
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_ray_cluster_that_refuses_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, form: str
) -> None:
    address = form.format(free_port())
    monkeypatch.setenv("RAY_ADDRESS", address)
    path = write_study(tmp_path / "study.yaml", {"random": None})
    sentence = refused(capsys, "--config", path, "--out", tmp_path / "out", "--launcher", "ray")
    assert sentence == (
        f"Expected the Ray cluster at {address}, which `RAY_ADDRESS` names, to answer, but got: Connection refused; "
        "start it, or name another; `RAY_ADDRESS=local` starts Ray on this machine."
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("own_ray")
def test_a_ray_cluster_that_says_nothing_is_given_up_within_seconds(
    monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"localhost:{silent_port}")
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"localhost:{silent_port}, .*but got: no answer within 5 seconds; start it"):
        run_plan.make_launcher(study("--launcher", "ray"))
    assert time.monotonic() - started < 15


def test_the_address_that_a_crashed_ray_cluster_left_is_named(own_ray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = pytest.importorskip("ray._private.services")
    if services.find_gcs_addresses():
        pytest.skip("a process of Ray runs on this machine, to which it belongs rather than to what a file says")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    file = own_ray / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text(f"127.0.0.1:{free_port()}")
    with pytest.raises(
        InputError, match=rf"which {file} names, .*Connection refused; if it crashed, `ray stop` forget"
    ):
        run_plan.make_launcher(study("--launcher", "ray"))
    file.write_text("nowhere")
    with pytest.raises(InputError, match=f"Expected {file} to name a Ray cluster, but got: .*`RAY_ADDRESS=local`"):
        run_plan.make_launcher(study("--launcher", "ray"))
    file.unlink()
    assert cluster_address() is None


@pytest.mark.usefixtures("own_ray")
@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "127.0.0.1:ray", "127.0.0.1:99999", "ray://"])
def test_what_is_no_address_of_ray_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=f"`RAY_ADDRESS` names to be host:port, but got `{address}`"):
        cluster_address()


@pytest.mark.usefixtures("own_ray")
def test_a_server_of_something_else_is_no_ray_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(InputError, match="but got: (an answer that is not Ray's|Connection reset)"):
                cluster_address()
        finally:
            server.shutdown()


@pytest.mark.usefixtures("own_ray")
def test_runs_on_ray(tmp_path: Path) -> None:
    path = write_study(tmp_path / "study.yaml", {"failing": "--loop.strategy tests.failing.Failing", "random": None})
    process = start("--config", path, "--out", tmp_path / "out", "--launcher", "ray", "--processes", "2")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, out + err
    assert err == ""
    assert "failing seed 0: failed: RuntimeError: nothing to query\n" in out
    assert re.search(r"random seed 0: finished, round 2 of 2, 70 labels", out)
    assert len(read_rounds(tmp_path / "out/random/seed0")) == 3


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'al-lightning\[ray\]'"):
        run_plan.make_launcher(study("--launcher", "ray"))
