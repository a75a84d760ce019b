"""The table of virtual machines, and what its rows carry ready made so that a key press costs little."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from vmie_tui.model.finding import Finding
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.verdict import FILTERS, LOOKED, NOT_LOOKED, Look, State, Verdict, judge
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, clean, size

POWER = {Power.ON: ("on", "ok"), Power.OFF: ("off", "dim"), Power.SUSPENDED: ("susp.", "warn")}


@dataclass(frozen=True, slots=True)
class MachineRow:
    """A machine with all that its line, the filter and the sort need. Made in a thread."""

    machine: Machine
    findings: tuple[Finding, ...]
    name: str
    os: str
    size: str
    verdict: Cell
    judged: Verdict
    text: str  # what the filter looks at, in lower case
    order: str  # what the sort by name compares
    look: Look = Look.NONE  # how much of its disks was read


def machine_row(machine: Machine, findings: tuple[Finding, ...], look: Look = Look.NONE) -> MachineRow:
    """The row of a machine. ``look``: how much of its disks the findings are about too."""
    judged = judge(findings, look)
    name, system = clean(machine.name), short_os(clean(machine.os_name))
    words = (
        machine.path,
        machine.cluster,
        machine.host,
        system,
        machine.os_name,
        machine.power.value,
        machine.firmware.value,
        machine.hostname,
        *(disk.datastore for disk in machine.disks),
        *(address for nic in machine.nics for address in nic.addresses),
    )
    seen, cell = " ".join(words).lower(), verdict_cell(judged)
    return MachineRow(machine, findings, name, system, size(machine.size), cell, judged, seen, name.casefold(), look)


@dataclass(frozen=True, slots=True)
class Scope:
    """A branch: a datacenter with a folder path below it, or one of its clusters. Empty: everything."""

    datacenter: str = ""
    folder: tuple[str, ...] = ()
    cluster: str = ""

    @property
    def title(self) -> str:
        return " › ".join(part for part in (self.datacenter, *self.folder, self.cluster) if part)

    def holds(self, machine: Machine) -> bool:
        if self.datacenter and machine.datacenter != self.datacenter:
            return False
        if self.cluster:
            return machine.cluster == self.cluster
        return machine.folder[: len(self.folder)] == self.folder


def by_name(rows: Iterable[MachineRow]) -> list[MachineRow]:
    """The rows in the order of their names. Done where they are read: sorting sorted rows costs the screen nothing."""
    return sorted(rows, key=SORT_KEYS["name"])


STYLES = {
    State.BLOCKED: "bad",
    State.WARNINGS: "warn",
    State.NOT_LOOKED: "dim",
    State.PARTLY_LOOKED: "warn",
    State.READY: "ok",
}


def verdict_cell(verdict: Verdict) -> Cell:
    """Its two words, and their style."""
    return verdict.text, STYLES[verdict.state]


_SHORTER = (
    ("Microsoft ", ""),
    ("Red Hat Enterprise Linux Server", "RHEL"),
    ("Red Hat Enterprise Linux", "RHEL"),
    ("SUSE Linux Enterprise Server", "SLES"),
    ("SUSE Linux Enterprise", "SLE"),
    ("GNU/Linux ", ""),
    ("CentOS Linux", "CentOS"),
    (" release ", " "),
    ("RHEL Server", "RHEL"),
    ("Windows Server", "Win Server"),
    ("Windows", "Win"),
    (" or later", "+"),
    (" (32-bit)", " 32-bit"),
)
_IN_BRACKETS = re.compile(r" \([^()]*\)")


def short_os(name: str) -> str:
    """A guest's name as it fits a column: ``RHEL 9.4``, ``Win Server 2019``."""
    for long, short in _SHORTER:
        name = name.replace(long, short)
    return _IN_BRACKETS.sub("", name) or "unknown"


SORT_KEYS: dict[str, Callable[[MachineRow], Any]] = {
    "name": attrgetter("order"),
    "power": lambda row: row.machine.power.value,
    "os": lambda row: row.os.casefold(),
    "disks": lambda row: len(row.machine.disks),
    "size": lambda row: row.machine.size,
    "boot": lambda row: row.machine.firmware.value,
    "verdict": attrgetter("judged.rank"),
    "cluster": lambda row: row.machine.cluster.casefold(),
}


def select(
    rows: Sequence[MachineRow],
    *,
    words: str = "",
    scope: Callable[[Machine], bool] | None = None,
    sort: str = "name",
    reverse: bool = False,
) -> list[MachineRow]:
    """Rows in ``scope`` that hold every word of ``words`` and none of its ``!words``, sorted; by name within equals.

    The words of `FILTERS` mean the verdict, not letters in a name; ``looked`` means that all of the disks were read.
    """
    terms = words.lower().replace(NOT_LOOKED, "!looked").split()
    wanted = [term for term in terms if not term.startswith("!")]
    unwanted = [term[1:] for term in terms if term.startswith("!") and len(term) > 1]
    found: Iterable[MachineRow] = rows if scope is None else [row for row in rows if scope(row.machine)]
    for term in wanted:
        holds = _asked(term)
        found = [row for row in found if holds(row)]
    for term in unwanted:
        holds = _asked(term)
        found = [row for row in found if not holds(row)]
    ordered = sorted(found, key=SORT_KEYS["name"], reverse=reverse and sort == "name")
    return ordered if sort == "name" else sorted(ordered, key=SORT_KEYS[sort], reverse=reverse)


def _asked(term: str) -> Callable[[MachineRow], bool]:
    """What one word of the filter asks of a row."""
    states = FILTERS.get(term)
    if states is not None:
        return lambda row: row.judged.state in states
    if term in LOOKED:
        return lambda row: row.look is Look.ALL
    return lambda row: term in row.text


class MachineTable(LineTable[MachineRow]):
    """Virtual machines; marked ones carry a filled circle."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("mark", "", 1),
        Column("name", "Name", 15, grows=3),
        Column("power", "Power", 5),
        Column("os", "Guest OS", 15, grows=1),
        Column("disks", "Disks", 5, "right", from_width=72),
        Column("size", "Size", 8, "right", from_width=66),
        Column("boot", "Boot", 4, gap=2, from_width=72),
        Column("verdict", "Verdict", 12, gap=2),
        Column("cluster", "Cluster", 16, grows=1, from_width=118, gap=2),
    )

    def key_of(self, row: MachineRow) -> str:
        return row.machine.moid

    def cell(self, row: MachineRow, column: str) -> Cell:
        machine = row.machine
        cells: dict[str, Cell] = {
            "mark": ("◉", "mark") if machine.moid in self.marked else ("○", "dim"),
            "name": (row.name, ""),
            "power": POWER[machine.power],
            "os": (row.os, ""),
            "disks": (str(len(machine.disks)), ""),
            "size": (row.size, ""),
            "boot": (machine.firmware.value, "dim"),
            "cluster": (clean(machine.cluster), "dim"),
            "verdict": row.verdict,
        }
        return cells[column]
