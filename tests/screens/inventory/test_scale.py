"""20,000 machines: only what is in sight is drawn, whatever is pressed."""

from __future__ import annotations

from tests.kits.driving import press, running, screen_text
from tests.kits.fake_backend import FakeOperations, many
from vmie_tui.widgets.machines import MachineTable

COUNT = 20_000


async def test_scrolling_draws_only_the_lines_in_sight(monkeypatch) -> None:
    drawn: list[int] = []
    draw = MachineTable.draw

    def counted(self: MachineTable, y: int):
        drawn.append(y)
        return draw(self, y)

    async with running(FakeOperations(many(COUNT))) as pilot:
        table = pilot.app.screen.query_one(MachineTable)
        assert len(table.rows) == COUNT
        monkeypatch.setattr(MachineTable, "draw", counted)
        await press(pilot, "G")
        assert f"vm-{COUNT - 1}" in screen_text(pilot)
        await press(pilot, "pageup", "pageup", "g", "j")
        assert "vm-00001" in screen_text(pilot)
        assert len(drawn) < 60 * table.size.height


async def test_filter_of_many_counts_with_separators() -> None:
    async with running(FakeOperations(many(COUNT))) as pilot:
        await press(pilot, "slash", *"vm-1999", "enter")
        assert "10 of 20,000 VMs" in screen_text(pilot)
