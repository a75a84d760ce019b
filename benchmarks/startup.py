"""From exec to the first painted frame of ``vmie-tui``, in a pseudo-terminal, against importing Textual alone.

    python benchmarks/startup.py [--runs 15] [--state DIR] [--python PATH]

Prints JSON: the median and the spread in milliseconds of the app, of ``python -c 'import textual.app'`` and of a bare
interpreter, taken in turn in one run, and the ratio of the first two. A frame counts as painted when the title bar's
words have arrived at the terminal.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

TITLE = re.compile(rb"vmie.*Inventory", re.DOTALL)
PATIENCE = 20.0
CONFIG = """
[profiles.measured.vcenter]
host = "localhost"
user = "nobody@vsphere.local"
port = 9

[profiles.measured.aws]
region = "eu-west-1"
endpoint_url = "https://localhost:9"
"""


def first_paint(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Seconds from the fork to the title on the terminal, and seconds of CPU; the app is ended afterwards."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environ)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    seen = b""
    try:
        while not TITLE.search(seen):
            ready, _, _ = select.select([terminal], [], [], PATIENCE)
            if not ready:
                raise TimeoutError(f"no frame within {PATIENCE} s; got {seen[-500:]!r}")
            try:
                seen += os.read(terminal, 65536)
            except OSError as error:  # how Linux says that the other end is gone
                raise ChildProcessError(f"the app ended before its first frame; it wrote {seen[-500:]!r}") from error
        taken = time.perf_counter() - started
    finally:
        os.kill(pid, signal.SIGKILL)
        _, _, used = os.wait4(pid, 0)
        os.close(terminal)
    return taken, used.ru_utime + used.ru_stime


def plain(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Seconds a command takes, and seconds of CPU."""
    started = time.perf_counter()
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ChildProcessError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def _median(taken: list[tuple[float, float]], column: int) -> float:
    return statistics.median(row[column] for row in taken)


def _summary(taken: list[tuple[float, float]]) -> dict[str, float]:
    wall = [row[0] for row in taken]
    figures = {"median": _median(taken, 0), "least": min(wall), "most": max(wall), "cpu_median": _median(taken, 1)}
    return {f"{name}_ms": round(seconds * 1000, 1) for name, seconds in figures.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--state", type=Path, help="state folder of a demo whose simulators run; empty when left out")
    parser.add_argument("--python", default=sys.executable, help="the interpreter whose vmie-tui is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vmie-startup-") as temporary:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VMIE_")}
        environ |= {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "VMIE_STATE_DIR": str(options.state or temporary),
            "VMIE_CONFIG_FILE": str(Path(temporary) / "config.toml"),
        }
        Path(environ["VMIE_CONFIG_FILE"]).write_text(CONFIG, encoding="utf-8")
        app = [str(Path(options.python).with_name("vmie-tui"))] + (["demo"] if options.state else [])
        first_paint(app, environ)  # byte code and the page cache, for all runs alike
        times: dict[str, list[tuple[float, float]]] = {"app": [], "textual": [], "python": []}
        for _ in range(options.runs):
            times["app"].append(first_paint(app, environ))
            times["textual"].append(plain([options.python, "-c", "import textual.app"], environ))
            times["python"].append(plain([options.python, "-c", "pass"], environ))
    report: dict[str, object] = {name: _summary(taken) for name, taken in times.items()}
    report["ratio_to_textual"] = round(_median(times["app"], 0) / _median(times["textual"], 0), 2)
    report["cpu_ratio_to_textual"] = round(_median(times["app"], 1) / _median(times["textual"], 1), 2)
    report["cores"], report["load"] = os.cpu_count(), os.getloadavg()[0]
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
