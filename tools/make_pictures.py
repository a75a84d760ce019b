"""Take the pictures of the documentation from the app itself, at work on the simulators.

.venv/bin/python tools/make_pictures.py        writes assets/*.svg
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Button

from vmie_tui.app import VmieApp
from vmie_tui.jobs.engine.worker_process import stop_worker
from vmie_tui.operations.operations import Operations
from vmie_tui.settings import DEMO, load
from vmie_tui.simulators import launch

ASSETS = Path(__file__).parent.parent / "assets"
SIZE = (100, 30)
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # names a font server: a picture needs none


def text_of(pilot: Pilot[int]) -> str:
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    while not condition():
        await pilot.pause(0.05)


async def shows(pilot: Pilot[int], words: str) -> None:
    await until(pilot, lambda: words in text_of(pilot))


def save(pilot: Pilot[int], name: str) -> None:
    svg = pilot.app.export_screenshot(title="vmie-tui", simplify=True)
    (ASSETS / f"{name}.svg").write_text(FONT_FACE.sub("", svg), encoding="utf-8")
    print(name)


async def take(state: Path) -> None:
    settings = load(DEMO, state_dir=state)
    app = VmieApp(Operations(settings, settings.profile()))
    async with app.run_test(size=SIZE) as pilot:
        await shows(pilot, "▲ 1 warning")
        await pilot.press("/", *"web", "enter")
        await shows(pilot, "filter: web")
        save(pilot, "inventory")
        await pilot.press("escape", "/", *"web-0", "enter")
        await shows(pilot, "filter: web-0")
        await pilot.press("space", "down", "space", "i")
        await shows(pilot, "Import web-01, web-02")
        await pilot.press("right", "right")
        await shows(pilot, "the only one for Linux")
        save(pilot, "licence")
        await pilot.press("right", "right")
        await shows(pilot, "Start 2 imports")
        await until(pilot, lambda: not pilot.app.screen.query_one("#start", Button).disabled)  # AWS was looked at
        save(pilot, "review")
        await pilot.press("enter")
        await shows(pilot, "2 running")
        await until(pilot, lambda: any((job.fraction or 0) > 0.3 for job in app.jobs or ()))
        await pilot.pause(0.6)
        save(pilot, "jobs")
        await until(pilot, lambda: all(job.state.terminal for job in app.jobs or ()))
        await pilot.pause(0.6)
        save(pilot, "done")
        await replicate(pilot)


async def replicate(pilot: Pilot[int]) -> None:
    """Two machines, a first copy and two deltas, and a third at work."""
    await pilot.press("1", "escape", "/", *"crm -01 !old !report", "enter")
    await shows(pilot, "2 of ")
    await pilot.press("home", "space", "space", "R")
    await shows(pilot, "Start 2 replications")
    await pilot.press("ctrl+s")
    for count in ("1 of 5", "2 of 5", "3 of 5"):
        await until(pilot, lambda count=count: text_of(pilot).count(count) == 2)  # type: ignore[misc]
        await pilot.press("greater_than_sign")
        await shows(pilot, "Set the clock forward")
        await pilot.press("enter")
    await until(pilot, lambda: "running" in text_of(pilot) and "%" in text_of(pilot))
    save(pilot, "replication")


def main() -> None:
    ASSETS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vmie-pictures-") as folder:
        state = Path(folder)
        settings = load(state_dir=state)
        launch.start(settings.demo_dir, launch.Wanted())
        try:
            asyncio.run(take(state))
        finally:
            stop_worker(settings)
            launch.stop(settings.demo_dir)


if __name__ == "__main__":
    main()
