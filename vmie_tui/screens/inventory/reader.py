"""Reads the inventory in a thread: turns pages of machines into judged rows and posts them to the screen."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.message import Message
from textual.worker import get_current_worker

from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.model.machine import Inventory, Machine
from vmie_tui.operations.operations import Operations
from vmie_tui.widgets.machines import MachineRow, by_name, machine_row

if TYPE_CHECKING:
    from vmie_tui.model.preflight import Preflight

CHUNK = 1000  # rows judged before the screen hears of them


class RowsRead(Message):
    """The rows known so far, by name. ``total`` is 0 while unknown; ``taken_at`` is set once they are complete."""

    def __init__(
        self, rows: Sequence[MachineRow], total: int, taken_at: datetime | None, cached: bool, unreadable: int = 0
    ) -> None:
        super().__init__()
        self.rows, self.total, self.taken_at = rows, total, taken_at
        self.cached, self.unreadable = cached, unreadable

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowsRead) and message.cached == self.cached


class ReadFailed(Message):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


def judged(operations: Operations, machine: Machine, inspected: Mapping[str, Preflight]) -> MachineRow:
    """The row of a machine by its configuration, and by its disks when this session has looked into them."""
    findings, known = operations.imports.check_machine(machine), inspected.get(machine.key)
    if known is None:
        return machine_row(machine, findings)
    return machine_row(machine, known.join(findings), known.look)


class Reader:
    """Call `read` in a thread; ``post`` takes the messages."""

    def __init__(
        self, operations: Operations, post: Callable[[Message], object], inspected: Mapping[str, Preflight]
    ) -> None:
        self._operations, self._inspected = operations, inspected
        self._post = post
        self._rows: dict[str, MachineRow] = {}
        self._told = 0

    def read(self, *, cached_first: bool) -> None:
        """The last list, where there is one and it is wanted, then vCenter's, page by page."""
        worker = get_current_worker()
        try:
            if cached_first:
                self._read_cached()
            if not self._operations.vcenter.has_password():
                self._post(ReadFailed(Problem(ErrorKind.LOGIN, "the password is not known")))
                return
            found = self._operations.vcenter.inventory(self._page, lambda: worker.is_cancelled)
            if not worker.is_cancelled:
                self._complete(found)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            if not worker.is_cancelled:
                self._post(ReadFailed(problem_of(error)))

    def _read_cached(self) -> None:
        cached = self._operations.vcenter.cached_inventory()
        if cached is not None:
            rows = [judged(self._operations, machine, self._inspected) for machine in cached.machines]
            self._post(RowsRead(by_name(rows), len(rows), cached.taken_at, cached=True))
            self._spare_collector()

    def _page(self, machines: Sequence[Machine], total: int) -> None:
        self._judge(machines)
        if self._told == 0 or len(self._rows) - self._told >= CHUNK:
            self._told = len(self._rows)
            self._post(RowsRead(by_name(self._rows.values()), total, None, cached=False))
            self._spare_collector()

    def _complete(self, found: Inventory) -> None:
        self._judge([machine for machine in found.machines if machine.moid not in self._rows])
        rows = by_name(self._rows[machine.moid] for machine in found.machines)
        self._post(RowsRead(rows, len(rows), found.taken_at, cached=False, unreadable=found.unreadable))
        self._spare_collector()

    def _spare_collector(self) -> None:
        """Hide the rows, which hold no reference cycles, from the garbage collector.

        A full collection over 20,000 machines holds the event loop for 100 to 200 ms; reference counts still free them.
        """
        gc.freeze()

    def _judge(self, machines: Sequence[Machine]) -> None:
        for machine in machines:
            self._rows[machine.moid] = judged(self._operations, machine, self._inspected)
