"""A picture of a screen on the fake operations, compared with the one that is kept beside the test."""

from __future__ import annotations

from tests.kits.driving import press, screen_text, settle, until
from tests.kits.fake_backend import NOW, FakeOperations
from vmie_tui.app import VmieApp
from vmie_tui.widgets.machines import MachineTable

SMALL, WIDE = (80, 24), (120, 36)


def picture(snap_compare, operations: FakeOperations, keys: str = "", size=SMALL, marked: tuple[str, ...] = ()) -> bool:
    app = VmieApp(operations, now=lambda: NOW)

    async def before(pilot) -> None:
        await until(pilot, lambda: app.jobs is not None, "jobs read")
        await settle(pilot)
        for table in app.screen.query(MachineTable):
            table.marked = set(marked)
            table.repaint()
        for key in keys.split():
            await press(pilot, key)
            await until(pilot, lambda: "reading…" not in screen_text(pilot), "everything read")

    return snap_compare(app, terminal_size=size, run_before=before)
