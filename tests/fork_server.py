"""Processes for tests without the seconds that importing torch and Lightning takes.

A server imports everything once. The fixture ``forked_python`` is the path of a program that takes the place of
``python``: ``-c CODE``, ``-m MODULE`` or a script. The program asks the server to fork a child with its words,
environment, working directory and standard files. It passes signals on to the child, and ends as the child ends. When
the program is killed, so is the child.

The server never computes, so that a child starts with no threads but its own.
"""

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).parents[1]
PROGRAM = """\
#!{python} -IS
import array, json, os, signal, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect({folder!r} + "/socket")
asked = json.dumps([os.getpid(), os.getcwd(), dict(os.environ), sys.argv[1:]]).encode()
files = array.array("i", [0, 1, 2])
server.sendmsg([len(asked).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
server.sendall(asked)
child = int.from_bytes(server.recv(8), "big")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.kill(child, number))
status = int.from_bytes(server.recv(8), "big")
if os.WIFSIGNALED(status):
    signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
    os.kill(os.getpid(), os.WTERMSIG(status))
sys.exit(os.WEXITSTATUS(status))
"""


@pytest.fixture(scope="session")
def forked_python() -> Iterator[str]:
    """Path of a program that runs like ``python``, with everything imported."""
    folder = Path(tempfile.mkdtemp(prefix="fork"))  # the path of a socket has to be short
    program = folder / "python"
    program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", str(folder)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is for pytest, which closes the pipe
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    yield str(program)
    server.communicate()
    shutil.rmtree(folder)


def child_of(program: int, forked_python: str) -> int:
    """The process that the server forked for a program that runs."""
    return int(Path(forked_python).with_name(str(program)).read_text())


# ---------------------------------------------------------------------------------------------------------- the server


def import_everything() -> None:
    import al_lightning

    for module in pkgutil.walk_packages(al_lightning.__path__, "al_lightning."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    import torch

    for name in ("faiss", "sklearn.datasets", "tests.digits", "tests.failing", "tests.helpers", "tests.test_loop"):
        importlib.import_module(name)
    torch.set_num_threads(1)


class Server:
    """Forks a child for each program that asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = [part for part in sys.path if part != str(REPOSITORY)]
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "socket"))
        self.listener.listen(100)
        self.programs: dict[int, socket.socket] = {}
        """The connection of each child's program."""
        self.wakeup, self.signals = os.pipe()
        for end in (self.wakeup, self.signals):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self.signals)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Serves until standard input is closed."""
        print("ready", flush=True)
        while True:
            connections = {connection: child for child, connection in self.programs.items()}
            ready, _, _ = select.select([0, self.wakeup, self.listener, *connections], [], [])
            if 0 in ready:
                for child in self.programs:
                    os.kill(child, signal.SIGKILL)
                return
            if self.wakeup in ready:
                os.read(self.wakeup, 1024)
                self.reap()
            elif self.listener in ready:
                self.fork(self.listener.accept()[0])
            else:
                for connection in ready:
                    child = connections[connection]
                    if not connection.recv(1):  # its program was killed
                        os.kill(child, signal.SIGKILL)
                        connection.close()
                        del self.programs[child]

    def reap(self) -> None:
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            connection = self.programs.pop(child, None)
            if connection is not None:
                with suppress(OSError):  # its program was killed at the same time
                    connection.sendall(status.to_bytes(8, "big"))
                connection.close()

    def fork(self, connection: socket.socket) -> None:
        size, [(_, _, packed)], _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        files = array.array("i")
        files.frombytes(packed)
        with connection.makefile("rb") as stream:
            program, folder, environment, words = json.loads(stream.read(int.from_bytes(size, "big")))
        child = os.fork()
        if child == 0:
            self.leave(connection)
            become(list(files), program, folder, environment, [*self.path], words)
        for file in files:
            os.close(file)
        self.programs[child] = connection
        (self.folder / str(program)).write_text(str(child))
        connection.sendall(child.to_bytes(8, "big"))

    def leave(self, connection: socket.socket) -> None:
        """In a child, closes all that is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self.wakeup, self.signals):
            os.close(end)
        for other in (self.listener, connection, *self.programs.values()):
            other.close()


def become(
    files: list[int], program: int, folder: str, environment: dict[str, str], path: list[str], words: list[str]
) -> NoReturn:
    """Does in a child what Python does with the words of a command line."""
    code = 1
    try:
        os.setsid()
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        unbuffered = "PYTHONUNBUFFERED" in environment
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty(), write_through=unbuffered)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.executable = str(Path(sys.argv[1]) / "python")
        os.getppid = lambda: parent_of(program)  # type: ignore[assignment]  # not the server
        added = environment.get("PYTHONPATH", "")
        sys.path[:] = [*(added.split(os.pathsep) if added else []), *path]
        run(words)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def run(words: list[str]) -> None:
    first = words[0]
    if first == "-c":
        sys.argv[:] = ["-c", *words[2:]]
        sys.path.insert(0, "")
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), vars(module))
    elif first == "-m":
        sys.argv[:] = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = words
        sys.path.insert(0, os.path.dirname(os.path.abspath(first)))
        runpy.run_path(first, run_name="__main__")


def parent_of(process: int) -> int:
    if Path("/proc/self/stat").exists():
        try:
            return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            return 1
    found = subprocess.run(["ps", "-o", "ppid=", "-p", str(process)], capture_output=True, text=True, check=False)
    return int(found.stdout or 1)


if __name__ == "__main__":
    server = Server(Path(sys.argv[1]))
    import_everything()
    gc.freeze()
    server.serve()
