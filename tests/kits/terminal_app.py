"""The app on operations of model values in a real terminal: ``python -m tests.kits.terminal_app``.

Each SIGUSR1 moves eight transfers on by half a second's work; SIGUSR2 shows the jobs screen.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace

from tests.kits.fake_backend import GIB, NOW, STAGES, FakeOperations, job, stages
from vmie_tui.app import VmieApp
from vmie_tui.model.job import DiskProgress, JobView, StageState
from vmie_tui.model.task import JobState


def transfers(step: int) -> tuple[JobView, ...]:
    """Eight uploads of 60 GiB at about 100 MB/s each, ``step`` half seconds after their start."""
    jobs = []
    for number in range(8):
        rate = 100e6 + 3e6 * ((step * 7 + number * 3) % 11)
        done = int((step + 40) * 50e6 * (1 + number / 8))
        disk = DiskProgress(2000, "disk 1", 60 * GIB, 30 * GIB, done, 0, rate, done >> 24, StageState.RUNNING)
        left = (30 * GIB - done) / rate
        view = job(number, f"web-{number:02}", JobState.RUNNING, disks=(disk,), fraction=done / (30 * GIB))
        jobs.append(replace(view, stages=stages(2), rate=rate, eta_seconds=left))
    assert len(STAGES) == 5
    return tuple(jobs)


class TerminalApp(VmieApp):
    """Moves on when told by a signal, never by itself."""

    step = 0

    def on_mount(self) -> None:
        super().on_mount()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.move_on)
        loop.add_signal_handler(signal.SIGUSR2, self.action_mode, "jobs")

    def _follow_jobs(self) -> None:  # type: ignore[override]
        self.jobs = transfers(self.step)

    def move_on(self) -> None:
        self.step += 1
        self.jobs = transfers(self.step)


if __name__ == "__main__":
    app = TerminalApp(FakeOperations(), now=lambda: NOW)
    app.run(mouse=False)
    sys.exit(app.return_value or 0)
