"""The worker as a process: one per state folder (a lock says so), started detached so that it outlives the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from vmie_tui.jobs.store.store import Store
from vmie_tui.known_secrets import split_environment
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError, VmieError
from vmie_tui.passwords import hear_typed, typed
from vmie_tui.pidlock import PidLock, holder
from vmie_tui.private_files import private_dir, private_fd
from vmie_tui.services.pacing import Poll
from vmie_tui.services.read_only import Policy
from vmie_tui.settings import Settings

LOCK_FILE = "worker.lock"
LOG_FILE = "worker.log"
TOLD_BY_STDIN = "--secrets-from-stdin"
M_ARENA_MAX = -8  # of glibc's mallopt
STARTING_FILE = "worker.starting"
REPORT_TO = "--report-to"
SERVING = "serving"
START_SECONDS = 60.0  # for one that is alive and says nothing: the machine may be very busy
START_TRIES = 3
TOO_SLOW = "too-slow"  # code of a start that no second try makes better
SEE_LOG = "See the end of that file, or run 'vmie-tui worker' to watch it start"
STOP_SECONDS, KILL_SECONDS = 12.0, 5.0  # after SIGTERM, which takes ten at most, and after SIGKILL
IDLE_MINUTES = 10.0  # a worker started by the way leaves when there was nothing to do for so long

_failures: dict[Path, Problem] = {}  # by state folder
_announced: dict[Path, list[PidLock]] = {}  # by state folder: who announces a start there
_announcing, _ensuring = threading.Lock(), threading.Lock()
_log = logging.getLogger("vmie_tui.process")


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


@contextlib.contextmanager
def announced(settings: Settings) -> Iterator[None]:
    """While this lasts, every process sees that a worker is about to be started here."""
    with _announcing:
        held = _announced.setdefault(settings.state_dir, [])
        held.append(PidLock(settings.state_dir / STARTING_FILE))
        if len(held) == 1:
            with contextlib.suppress(OSError, ServiceError):  # the start finds out what is wrong with the folder
                private_dir(settings.state_dir)
                held[0].acquire()
    try:
        yield
    finally:
        with _announcing:
            if len(held) == 1:  # the first one has the lock, and the last one to leave gives it back
                held[0].release()
            held.pop()


def is_starting(state_dir: Path) -> bool:
    """Whether some process is starting a worker for the folder."""
    return holder(state_dir / STARTING_FILE) is not None


def start_failure(state_dir: Path) -> Problem | None:
    """Why the last start that this process tried has failed; None when it did not."""
    return _failures.get(state_dir)


def ensure_worker(settings: Settings) -> bool:
    """Start a worker, detached from this terminal, unless one runs; whether it was started.

    Raises ServiceError REFUSED when everything is read-only, LOCAL with the reason when it cannot start: the queued
    jobs say so too from then on.
    """
    Policy(settings.read_only).check_work("worked on")
    with _ensuring:  # several jobs may be started at once, and want one worker
        return worker_pid(settings.state_dir) is None and _ensure(settings)


def _ensure(settings: Settings) -> bool:
    try:
        start_worker(settings)
    except ServiceError as error:
        _failures[settings.state_dir] = error.problem
        with contextlib.suppress(VmieError):  # the database may be the reason
            Store(settings.state_dir, settings.database_url).say_waiting(str(replace(error.problem, remedy="")))
        raise
    _failures.pop(settings.state_dir, None)
    return True


def start_worker(settings: Settings, *, idle_minutes: float = IDLE_MINUTES) -> int:
    """Start a detached worker and wait until it serves the folder; returns its pid.

    Tried ``START_TRIES`` times. Raises ServiceError LOCAL with the reason that the last one gave.
    """
    with announced(settings):
        for attempt in range(1, START_TRIES + 1):
            try:
                return _start_once(settings, idle_minutes)
            except ServiceError as error:
                if attempt == START_TRIES or error.problem.code == TOO_SLOW:
                    raise
                _log.info("start %d of the worker failed: %s", attempt, error)
    raise AssertionError


def _start_once(settings: Settings, idle_minutes: float) -> int:
    log = private_dir(settings.log_dir) / LOG_FILE
    private_dir(settings.state_dir)
    try:
        output = private_fd(log, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise ServiceError(
            ErrorKind.LOCAL, "the worker's log cannot be written", subject=str(log), detail=error.strerror or ""
        ) from error
    report, told = os.pipe()
    try:
        written = os.fstat(output).st_size
        environment, secret = split_environment(worker_environment(settings))
        command = [sys.executable, "-m", "vmie_tui", "worker", "--idle-minutes", f"{idle_minutes:g}", TOLD_BY_STDIN]
        process = subprocess.Popen(  # noqa: S603 - this very program
            [*command, REPORT_TO, str(told)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            cwd="/",
            pass_fds=(told,),
        )
        os.close(told)
        told = -1
        _tell(process, secret)
        answer = _answer(report)
    except OSError as error:
        raise ServiceError(ErrorKind.LOCAL, "the worker could not be started", detail=error.strerror or "") from error
    finally:
        for fd in (output, report, *([told] if told >= 0 else [])):
            os.close(fd)
    if answer == SERVING:
        return process.pid
    if answer is None:
        if (pid := worker_pid(settings.state_dir)) is not None:  # the machine is busy, and it is on its way
            return pid or process.pid
        process.kill()
        process.wait()
        what = f"the worker did not start within {START_SECONDS:.0f} s"
        raise ServiceError(ErrorKind.LOCAL, what, subject=str(log), remedy=SEE_LOG, code=TOO_SLOW)
    code = process.wait()
    if (pid := worker_pid(settings.state_dir)) is not None:  # another process was faster
        return pid
    if answer:
        problem = Problem.from_json(json.loads(answer))
        raise ServiceError.of(replace(problem, what=f"the worker cannot start: {problem.what}"))
    last = _last_line(log, written) or (f"signal {-code}" if code < 0 else f"exit code {code}")
    raise ServiceError(
        ErrorKind.LOCAL, "the worker ended while it was starting", subject=str(log), remedy=SEE_LOG, detail=last
    )


def _answer(report: int) -> str | None:
    """What a new worker says: SERVING, a problem as JSON, "" when it ended without a word; None: nothing yet."""
    said, deadline = b"", time.monotonic() + START_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if select.select([report], [], [], left)[0]:
            part = os.read(report, 65536)
            if not part:
                return said.decode()
            said += part
    return None


def _last_line(log: Path, start: int) -> str:
    """The last line that was written behind ``start``, without our own name before it."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").split("\n")
        return next((line.removeprefix("vmie-tui: ") for line in reversed(lines) if line.strip()), "")
    return ""


class Report:
    """In the worker: the other end of `_answer`; said once."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        if fd is not None:
            os.set_inheritable(fd, False)

    def serving(self) -> None:
        self._say(SERVING)

    def failed(self, problem: Problem) -> None:
        self._say(json.dumps(problem.to_json()))

    def _say(self, text: str) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(OSError):  # whoever started us has gone
            os.write(self._fd, text.encode())
        os.close(self._fd)
        self._fd = None


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


def stop_worker(settings: Settings, on_kill: Callable[[str], None] = lambda words: None) -> int | None:
    """End the running worker and wait for its end; its pid, None when none ran.

    One that does not end when told to is killed, which ``on_kill`` hears in words. Raises ServiceError LOCAL for one
    that cannot even be killed.
    """
    pid = worker_pid(settings.state_dir)
    if not pid:
        return None
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        if number is signal.SIGKILL:
            on_kill(f"worker {pid} did not end within {STOP_SECONDS:.0f} s: it was killed")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        for _ in Poll(0.05, seconds=seconds):
            if worker_pid(settings.state_dir) != pid:
                return pid
    raise ServiceError(
        ErrorKind.LOCAL,
        "the worker cannot be killed",
        subject=str(pid),
        remedy="Look at what its state folder lies on: it waits for the system",
    )
