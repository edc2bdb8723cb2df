"""The Ray cluster that a sweep is for: found, and asked for a sign of life, before Ray waits five minutes for it."""

import os
import socket
from pathlib import Path

from al_lightning.errors import InputError

TIMEOUT = 5.0
"""Seconds that a cluster has to take a connection, and again to answer."""

# the first words of HTTP/2, which gRPC speaks: a server answers them with a frame of its settings
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
FRAME_HEADER = 9
SETTINGS = 4

OWN = "`RAY_ADDRESS=local` starts Ray on this machine."


def cluster_address() -> str | None:
    """Returns the address of the cluster that `RAY_ADDRESS` names, or that this machine is part of.

    Returns:
        ``host:port``, or ``ray://host:port``, of a cluster that answers; None if there is none, or if `RAY_ADDRESS` is
        ``local``.

    Raises:
        InputError: If the cluster does not answer.
    """
    named = os.environ.get("RAY_ADDRESS", "").strip()
    if named == "local":
        return None
    if named and named != "auto":
        _check(named, "`RAY_ADDRESS` names", f"start it, or name another; {OWN}")
        return named
    address = _of_this_machine()
    if address is not None:
        file = _address_file()
        port = address.rpartition(":")[2]  # Ray has another name for this host than the file
        is_in_file = file.is_file() and file.read_text().strip().endswith(f":{port}")
        source = f"{file} names" if is_in_file else "a process of this machine belongs to"
        _check(address, source, f"if it crashed, `ray stop` forgets it; {OWN}")
    return address


def _of_this_machine() -> str | None:
    """What ``ray.init("auto")`` would connect to: a cluster of which a process runs here, or the last one started."""
    from ray._private import services  # no public name of Ray says it without connecting

    try:
        return services.canonicalize_bootstrap_address("auto")
    except ConnectionError:  # there is none
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"Expected {_address_file()} to name a Ray cluster, but got: {error}; {OWN}") from error


def _address_file() -> Path:
    """Where ``ray start`` leaves the address of its cluster."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"


def _check(address: str, source: str, cure: str) -> None:
    """Raises :class:`InputError` unless a server that speaks gRPC answers at an address."""
    host, separator, port = address.rpartition("://")[2].rpartition(":")
    if not separator or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"Expected the Ray cluster that {source} to be host:port, but got `{address}`; {cure}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT) as connection:
            if os.environ.get("RAY_USE_TLS", "0") in ("1", "true", "True"):  # its greeting is another one
                return
            connection.sendall(GREETING)
            answer = b""
            while len(answer) < FRAME_HEADER and (part := connection.recv(FRAME_HEADER - len(answer))):
                answer += part
    except TimeoutError:
        what = f"no answer within {TIMEOUT:g} seconds"
    except OSError as error:
        what = error.strerror or str(error)
    else:
        if len(answer) == FRAME_HEADER and answer[3] == SETTINGS:
            return
        what = "an answer that is not Ray's"
    raise InputError(f"Expected the Ray cluster at {address}, which {source}, to answer, but got: {what}; {cure}")
