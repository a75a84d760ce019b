"""The event loop of the app on a simulated vCenter with 20,000 VMs: its longest block, and keys to repaint.

    python benchmarks/inventory_20k.py [--scale 20000] [--presses 10]

The simulators run in a process of their own; the app runs here, headless, on real operations. A heartbeat of 2 ms on
its loop tells how long the loop did nothing else. Prints JSON: the longest blocks while the inventory is read from
vCenter, while it is read from the cache and vCenter at a second start, and from keys; and for each key the median and
the longest time from the key to the last repaint it causes, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textual import events

from vmie_tui import settings
from vmie_tui.app import VmieApp
from vmie_tui.operations.operations import Operations
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.settings import DEMO
from vmie_tui.simulators import launch

BEAT = 0.002
QUIET = 0.12  # seconds without a repaint after which a key's work is over
LOAD_SECONDS = 240.0
KEYS: tuple[tuple[str, str | None], ...] = (
    *(("down", None), ("pagedown", None), ("G", "G"), ("pageup", None), ("g", "g"), ("space", " ")),
    *(("s", "s"), ("S", "S"), ("a", "a"), ("a", "a"), ("slash", "/")),
    *((letter, letter) for letter in "web"),
    *(("backspace", None), ("escape", None)),
)


class Measured(VmieApp):
    """Notes when it paints."""

    painted = 0.0

    def _display(self, screen: Any, renderable: Any) -> None:
        super()._display(screen, renderable)
        self.painted = time.perf_counter()


class Heartbeat:
    """How late the loop came back to us, at worst."""

    def __init__(self) -> None:
        self.blocks: list[float] = []
        self._task = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            late = time.perf_counter() - before - BEAT
            if late > BEAT:
                self.blocks.append(late)

    def take(self) -> dict[str, Any]:
        """The blocks since the last call, in milliseconds."""
        worst = sorted(self.blocks, reverse=True)
        self.blocks.clear()
        return {
            "longest_ms": _ms(worst[0]) if worst else 0.0,
            "next_ms": [_ms(late) for late in worst[1:5]],
            "over_50_ms": sum(late > 0.05 for late in worst),
        }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the inventory was not read")
        await asyncio.sleep(0.02)


async def key(app: Measured, name: str, character: str | None) -> float:
    """Press a key; seconds until the last repaint after it."""
    started = time.perf_counter()
    app.post_message(events.Key(name, character))
    while time.perf_counter() - max(started, app.painted) < QUIET:
        await asyncio.sleep(BEAT)
    return max(0.0, app.painted - started)


async def session(configured: settings.Settings, presses: int) -> dict[str, Any]:
    """Open the app, wait for the list, press every key ``presses`` times."""
    app = Measured(Operations(configured, configured.profile(DEMO)))
    report: dict[str, Any] = {}
    async with app.run_test(size=(120, 40)):
        beat = Heartbeat()
        started = time.perf_counter()
        screen = app.screen
        assert isinstance(screen, InventoryScreen)
        first = len(screen.table.rows)
        while not screen.table.rows:
            await asyncio.sleep(BEAT)
        report["first_rows_s"] = round(time.perf_counter() - started, 2) if not first else 0.0
        await until(
            lambda: bool(screen.table.rows) and screen._taken_at is not None and not screen._reading, LOAD_SECONDS
        )
        report["read_s"] = round(time.perf_counter() - started, 2)
        report["machines"] = len(screen.table.rows)
        report["while_reading"] = beat.take()
        if presses:
            taken: dict[str, list[float]] = {}
            for _ in range(presses):
                for number, (name, character) in enumerate(KEYS):
                    label = f"{name} {number}" if name == "a" else name
                    taken.setdefault(label, []).append(await key(app, name, character))
            report["keys"] = {
                name: {"median_ms": _ms(statistics.median(times)), "most_ms": _ms(max(times))}
                for name, times in taken.items()
            }
            report["from_keys"] = beat.take()
    return report


@contextmanager
def simulators(state: Path, scale: int) -> Iterator[None]:
    root = state / DEMO
    launch.start(root, launch.Wanted(scale=scale))
    try:
        yield
    finally:
        launch.stop(root)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=20_000)
    parser.add_argument("--presses", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vmie-20k-") as temporary:
        state = Path(temporary)
        os.environ["VMIE_STATE_DIR"], os.environ["VMIE_CONFIG_FILE"] = temporary, str(state / "config.toml")
        with simulators(state, options.scale):
            configured = settings.load(DEMO)
            first = asyncio.run(session(configured, options.presses))
            second = asyncio.run(session(configured, 0))
    print(
        json.dumps({"first": first, "second_from_cache": second, "cores": os.cpu_count(), "load": os.getloadavg()[0]})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
