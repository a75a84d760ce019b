"""What every command shares: settings, output, words for sizes and states."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from vmie_tui import settings as settings_module
from vmie_tui.model.errors import VmieError
from vmie_tui.model.job import JobView
from vmie_tui.model.task import JobState
from vmie_tui.settings import Settings

REVIVE_SECONDS = 1.0  # after the first paint

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")


class Session:
    """The settings of one invocation, read when first needed: ``--help`` must work with a broken file."""

    def __init__(self, profile: str | None) -> None:
        self.profile_name = profile
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = settings_module.load(self.profile_name)
        return self._settings

    def use(self, state_dir: Path) -> Settings:
        """Settings with another state folder."""
        self._settings = settings_module.load(self.profile_name, state_dir=state_dir)
        return self._settings

    def reload(self) -> Settings:
        self._settings = None
        return self.settings


def run_app(settings: Settings) -> int:
    """Run the app until it is closed; its exit code. Jobs that nobody moves get a worker once the app stands."""
    timer = threading.Timer(REVIVE_SECONDS, _revive_worker, (settings,))
    timer.daemon = True
    timer.start()
    try:
        code: int = importlib.import_module("vmie_tui.app").run(settings)
    finally:
        timer.cancel()
    return code


def _revive_worker(settings: Settings) -> None:
    """Start a worker if jobs are under way and their worker was killed. A failure is the app's to show."""
    from vmie_tui.jobs.client import JobClient

    client = JobClient(settings)
    with contextlib.suppress(VmieError):
        status = client.worker()
        if not status.alive and (status.running or status.queued):
            client.ensure_worker()
    client.close()


pass_session = click.make_pass_decorator(Session)


def out(text: str) -> None:
    """A line of data."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """A line of narration."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def out_json(value: Any) -> None:
    out(json.dumps(value, indent=2, ensure_ascii=False))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Text columns under headings; the columns in ``right`` are aligned to the right."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def size_text(nbytes: float) -> str:
    """1024-based sizes as vCenter shows them: ``60.0 GB``."""
    value, units = float(nbytes), ["B", "KB", "MB", "GB", "TB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def percent_text(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction * 100:.0f}%"


def left_text(seconds: float | None) -> str:
    """Time left as ``m:ss`` or ``h:mm:ss``."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def job_line(view: JobView) -> str:
    """One job in one line of narration."""
    parts = [view.name, view.state.value]
    if view.state is JobState.RUNNING:
        parts += [percent_text(view.fraction), f"{size_text(view.rate)}/s" if view.rate else "", view.message]
    elif view.problem is not None:
        parts.append(str(view.problem))
    else:
        parts.append(view.image_id or view.message)
    return "  ".join(part for part in parts if part)
