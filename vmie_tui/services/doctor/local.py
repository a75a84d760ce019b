"""This machine: the state folder, room on its disk, the database, and what the terminal can show and copy."""

from __future__ import annotations

import codecs
import locale
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from vmie_tui.model.doctor import Check, Group
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.formatting import size
from vmie_tui.services import sqlite
from vmie_tui.services.doctor.check_context import Look, Patient, Skip

LEAST_FREE = 1 << 30  # for the database, logs and blocks' hashes of many jobs; disks are never stored
COLUMNS, ROWS = 80, 24
SECONDS = 5.0
FOLDER_MODE = 0o700


def _folder(patient: Patient, look: Look) -> Check:
    folder = patient.state_dir
    if not folder.exists():
        return look.ok(f"{folder} will be made when it is first needed")
    found = folder.stat()
    if found.st_uid != os.getuid():
        return look.failed(f"{folder} belongs to another user", "Set VMIE_STATE_DIR to a folder of your own")
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~FOLDER_MODE:
        return look.failed(f"{folder} is open to others (mode {mode:04o})", f"chmod 700 {folder}")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return look.failed(f"{folder} cannot be written", f"chmod 700 {folder}")
    return look.ok(f"{folder}, for you alone")


def _room(patient: Patient, look: Look) -> Check:
    folder = _nearest(patient.state_dir)
    free = shutil.disk_usage(folder).free
    words = f"{size(free)} free at {folder}"
    if free < LEAST_FREE:
        return look.warning(words, "Free some room, or set VMIE_STATE_DIR to a folder with more")
    return look.ok(words)


def _nearest(path: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def _sqlite(patient: Patient, look: Look) -> Check:
    try:
        return look.ok(sqlite.in_words(sqlite.driver()))
    except ServiceError as error:
        return look.failed(error.problem.what, error.problem.remedy)


def _locale(patient: Patient, look: Look) -> Check:
    name = locale.getencoding()
    if codecs.lookup(name).name == "utf-8":
        return look.ok(name)
    return look.warning(f"the character set is {name}: names and glyphs are shown by escapes", "Set LC_ALL=C.UTF-8")


def _terminal(patient: Patient, look: Look) -> Check:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Skip("this is not a terminal")
    columns, rows = shutil.get_terminal_size()
    env = patient.environ
    kind = env.get("TERM", "")
    if kind in {"", "dumb"}:
        return look.warning(f"TERM={kind or 'unset'}: the app cannot draw", "Set TERM to what the terminal is")
    true = env.get("COLORTERM", "") in {"truecolor", "24bit"}
    colours = "none (NO_COLOR)" if env.get("NO_COLOR") else "16 million" if true else "256" if "256" in kind else "16"
    words = f"{columns} x {rows}, {colours} colours"
    if columns < COLUMNS or rows < ROWS:
        return look.warning(words, f"Make it {COLUMNS} x {ROWS} at least")
    return look.ok(words)


def _clipboard(patient: Patient, look: Look) -> Check:
    if not patient.environ.get("TMUX"):
        raise Skip("not in tmux")
    said = _run("tmux", "show-options", "-s", "-v", "set-clipboard")
    if said is None:
        return look.skipped("tmux does not say")
    if said == "on":
        return look.ok("tmux hands copies on to the terminal")
    return look.warning(
        f"set-clipboard is {said or 'unset'}: what the app copies does not reach the clipboard",
        "Put 'set -s set-clipboard on' into ~/.tmux.conf",
    )


def _linger(patient: Patient, look: Look) -> Check:
    said = _run("loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value")
    if said is None:
        return look.skipped("no systemd here says what happens to jobs after the logout")
    if said == "yes":
        return look.ok("jobs go on after the logout")
    return look.warning(
        "systemd may end jobs when you log out", "Run 'loginctl enable-linger', or stay logged in until they are done"
    )


def _worker(patient: Patient, look: Look) -> Check:
    if patient.worker is None:
        return look.skipped("the worker cannot be asked from here")
    found = patient.worker()
    if found.silent_since is not None:
        since = f"{found.silent_since.astimezone():%Y-%m-%d %H:%M:%S}"
        return look.failed(
            f"process {found.pid} is not responding since {since}",
            "End it with 'vmie-tui worker --stop'; the next one takes its jobs up",
        )
    if found.alive:
        return look.ok(f"runs as process {found.pid}: {found.running} jobs at work, {found.queued} waiting")
    if found.running or found.queued:
        return look.warning("none is running, and jobs wait for it", "Start the app, or 'vmie-tui worker'")
    return look.ok("none is running, and none is needed")


def _run(*command: str) -> str | None:
    """What a command prints; None when it is not there or fails."""
    path = shutil.which(command[0])
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and nothing of the outside in it
            [path, *command[1:]],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


LOOKS = (
    Look("local.folder", Group.LOCAL, "State folder", _folder),
    Look("local.room", Group.LOCAL, "Room", _room),
    Look("local.sqlite", Group.LOCAL, "SQLite", _sqlite),
    Look("local.locale", Group.LOCAL, "Character set", _locale),
    Look("local.terminal", Group.LOCAL, "Terminal", _terminal),
    Look("local.clipboard", Group.LOCAL, "Clipboard in tmux", _clipboard),
    Look("local.worker", Group.LOCAL, "Worker", _worker),
    Look("local.linger", Group.LOCAL, "After the logout", _linger),
)
