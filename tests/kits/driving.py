"""Driving the app in tests: start it on a fake operations, press keys, read what is on the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from tests.kits.fake_backend import NOW, FakeOperations
from vmie_tui.app import VmieApp
from vmie_tui.operations.operations import Operations

# Groups of workers that wait for the user, or for the end of the app.
ENDLESS = {"jobs", "password", "asking", "watch", "explorer", "replications"}


async def until(pilot: Pilot[int], condition: Callable[[], object], what: str = "condition") -> None:
    """Let the app work until ``condition`` holds; fails after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not reached: {what}\n{screen_text(pilot)}")
        await pilot.pause()
        await asyncio.sleep(0.005)


async def settle(pilot: Pilot[int]) -> None:
    """Wait until no worker runs (but the one that follows the jobs) and nothing is left to paint."""

    def idle() -> bool:
        return not [w for w in pilot.app.workers if w.group not in ENDLESS and not w.is_finished]

    await until(pilot, idle, "workers at rest")
    await pilot.pause()
    await until(pilot, idle, "workers at rest")
    await pilot.pause()


async def press(pilot: Pilot[int], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


def screen_text(pilot: Pilot[int]) -> str:
    """All that is on the screen, without styles."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def toasts(pilot: Pilot[int]) -> str:
    """All that was told so far and has not timed out."""
    return " | ".join(note.message for note in pilot.app._notifications)


@asynccontextmanager
async def running(
    operations: Operations | None = None, size: tuple[int, int] = (80, 24), *, wait: bool = True
) -> AsyncIterator[Pilot[int]]:
    """The app on these operations, with their inventory and jobs read."""
    app = VmieApp(operations or FakeOperations(), now=lambda: NOW)
    async with app.run_test(size=size) as pilot:
        if wait:
            await until(pilot, lambda: app.jobs is not None or app.jobs_problem is not None, "jobs read")
            await settle(pilot)
        yield pilot
