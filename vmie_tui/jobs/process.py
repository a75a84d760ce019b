"""The worker as a process: one per state folder (a lock says so), started detached so that it outlives the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from vmie_tui.known_secrets import split_environment
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.passwords import hear_typed, typed
from vmie_tui.pidlock import PidLock, holder
from vmie_tui.private import private_dir, private_fd
from vmie_tui.services.policy import Policy
from vmie_tui.settings import Settings

LOCK_FILE = "worker.lock"
LOG_FILE = "worker.log"
TOLD_BY_STDIN = "--secrets-from-stdin"
M_ARENA_MAX = -8  # of glibc's mallopt
START_SECONDS = 20.0
IDLE_MINUTES = 10.0  # a worker started by the way leaves when there was nothing to do for so long


def executor_id(settings: Settings) -> str:
    """The name under which a worker owns its workflows: the same after a restart, so that it takes them up again.

    With SQLite the folder has one worker and the name is fixed. On a shared database each host and folder has its own.
    """
    if not settings.database_url:
        return "local"
    place = f"{socket.gethostname()}:{settings.state_dir}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def worker_lock(state_dir: Path) -> PidLock:
    """The lock of a state folder's worker."""
    return PidLock(private_dir(state_dir) / LOCK_FILE)


def worker_pid(state_dir: Path) -> int | None:
    """The pid of the worker that serves the folder; None when there is none."""
    return holder(state_dir / LOCK_FILE)


def worker_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a child finds the same settings as this process."""
    env = dict(os.environ if environ is None else environ)
    env["VMIE_STATE_DIR"] = str(settings.state_dir)
    env["VMIE_CACHE_DIR"] = str(settings.cache_dir)
    env["VMIE_CONFIG_FILE"] = str(settings.config_file)
    if settings.database_url:
        env["VMIE_DATABASE_URL"] = settings.database_url
    return env


def ensure_worker(settings: Settings) -> None:
    """Start a worker, detached from this terminal, unless one runs. REFUSED when everything is read-only."""
    Policy(settings.read_only).check_work("worked on")
    if worker_pid(settings.state_dir) is None:
        start_worker(settings)


def start_worker(settings: Settings, *, idle_minutes: float = IDLE_MINUTES) -> int:
    """Start a detached worker and wait until it holds the lock; returns its pid. Raises ServiceError LOCAL."""
    log = private_dir(settings.log_dir) / LOG_FILE
    private_dir(settings.state_dir)
    try:
        output = private_fd(log, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise ServiceError(
            ErrorKind.LOCAL, "the worker's log cannot be written", subject=str(log), detail=error.strerror or ""
        ) from error
    try:
        environment, secret = split_environment(worker_environment(settings))
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "vmie_tui", "worker", "--idle-minutes", f"{idle_minutes:g}", TOLD_BY_STDIN],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            cwd="/",
        )
        _tell(process, secret)
    finally:
        os.close(output)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        pid = worker_pid(settings.state_dir)
        if pid:
            return pid
        if process.poll() not in {None, 0}:
            break
        time.sleep(0.02)
    raise ServiceError(
        ErrorKind.LOCAL,
        "the worker did not start",
        subject=str(log),
        remedy="See the end of that file, or run 'vmie-tui worker' to watch it start",
    )


def _tell(process: subprocess.Popen[bytes], secret: Mapping[str, str]) -> None:
    """Give the worker the variables that must not be seen in its ``/proc/PID/environ``, and the typed passwords."""
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # it ended at once: found out below
        told = {"environment": secret, "typed": typed()}
        pipe.write(json.dumps(told).encode("utf-8", "surrogateescape"))


def hear_secrets() -> None:
    """In the worker: the other end of `_tell`. Standard input is empty from then on."""
    with os.fdopen(os.dup(0), "rb") as pipe:
        told = json.loads(pipe.read().decode("utf-8", "surrogateescape") or "{}")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    hear_typed(told.get("typed", {}))
    # This changes our memory, not what the system shows of how we were started.
    os.environ.update(told.get("environment", {}))


def limit_arenas() -> None:
    """Let all threads share two heaps: with one for each thread glibc keeps megabytes apiece that nobody uses."""
    with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to do
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def give_memory_back() -> None:
    """Return free heap pages to the system, as far as the C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
