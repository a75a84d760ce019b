"""Starts, finds and stops the simulators as a detached process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie_tui.known_secrets import split_environment
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.pidlock import holder
from vmie_tui.private_files import private_dir, private_fd
from vmie_tui.settings import DEMO
from vmie_tui.simulators.control import TOKEN_HEADER

LOCK_FILE, PROFILE_FILE, LOG_FILE = "serve.lock", "profile.toml", "serve.log"
TOKEN_FILE = "control-token"  # noqa: S105 - the name of a file: what the simulators' controls ask for
START_SECONDS, STOP_SECONDS = 60.0, 10.0
DEMO_SPEED = 60.0  # of the simulated AWS: a conversion of twenty minutes takes twenty seconds
DEMO_RATE = 16_000_000  # bytes a second of each disk's stream: one can watch it
DEMO_IDLE_HOURS = 2.0
DEMO_HISTORY = 90  # tasks of the past in the simulated AWS


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to simulate. ``rate`` is bytes a second per disk stream, 0 for no limit; ``fleet``: company, tiny or odd.

    ``history``: how many tasks of the past AWS shows, from 500 on over 20 Regions; with any there are a second account
    (a second profile) and instances and images to export. None: as many as the demo has, of a tiny fleet none.
    """

    speed: float = DEMO_SPEED
    rate: int = DEMO_RATE
    scale: int = 0
    idle_hours: float = DEMO_IDLE_HOURS
    fleet: str = "company"
    history: int | None = None

    def arguments(self, root: Path) -> list[str]:
        """The command line of the process that serves."""
        usual = DEMO_HISTORY if self.fleet == "company" else 0
        return [
            # -P: no module is taken from the folder that the user happens to be in
            *(sys.executable, "-P", "-m", "vmie_tui.simulators.serve", str(root)),
            *("--speed", f"{self.speed:g}", "--rate", str(self.rate), "--scale", str(self.scale)),
            *("--idle-hours", f"{self.idle_hours:g}", "--fleet", self.fleet),
            *("--history", str(usual if self.history is None else self.history)),
        ]


def running(root: Path) -> int | None:
    """The pid of the simulators that serve ``root`` and are ready; None when there are none."""
    pid = holder(root / LOCK_FILE)
    return pid if pid and (root / PROFILE_FILE).exists() else None


def start(root: Path, wanted: Wanted) -> int:
    """Start the simulators, detached, unless they run; wait until they are ready; their pid. Raises ServiceError."""
    pid = running(root)
    if pid:
        return pid
    log = private_fd(private_dir(root) / LOG_FILE, os.O_WRONLY | os.O_APPEND)
    try:
        environment, _ = split_environment(os.environ)  # they outlive the terminal, and need no secret of the user's
        process = subprocess.Popen(  # noqa: S603 - this very program
            wanted.arguments(root),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )
    finally:
        os.close(log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        pid = running(root)
        if pid:
            return pid
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise ServiceError(
        ErrorKind.LOCAL,
        "the simulators did not start",
        subject=str(root / LOG_FILE),
        remedy="See the end of that file; they need the extra 'demo': pip install 'vmie-tui[demo]'",
    )


def stop(root: Path) -> bool:
    """End the simulators of ``root``; False when none ran. Raises ServiceError when they do not end."""
    pid = holder(root / LOCK_FILE)
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while holder(root / LOCK_FILE) == pid or _exists(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise ServiceError(ErrorKind.LOCAL, "the simulators had to be killed", subject=str(pid))
        time.sleep(0.05)
    return True


def _exists(pid: int) -> bool:
    """Whether the process still runs; takes leave of it when it was our child."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Admin:
    """The ``/_sim/`` paths of the simulators that serve ``root`` (see `control.py`), with the token that lies there."""

    def __init__(self, root: Path) -> None:
        profile = tomllib.loads((root / PROFILE_FILE).read_text(encoding="utf-8"))["profiles"][DEMO]
        vcenter, aws = profile["vcenter"], profile["aws"]
        self.urls = {"vcenter": f"https://{vcenter['host']}:{vcenter['port']}", "aws": aws["endpoint_url"].rstrip("/")}
        self._context = ssl.create_default_context(cafile=vcenter["ca_file"])
        self._token = (root / TOKEN_FILE).read_text(encoding="utf-8")

    def __call__(self, service: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request; ``service`` is vcenter or aws, ``path`` what follows ``/_sim/``. Raises OSError."""
        import urllib.request

        data = json.dumps(body).encode() if body is not None else None
        url = f"{self.urls[service]}/_sim/{path}"
        request = urllib.request.Request(url, data=data, headers={TOKEN_HEADER: self._token}, method=method)  # noqa: S310
        https = urllib.request.HTTPSHandler(context=self._context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)  # a proxy is not for this machine
        with opener.open(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        return answer
