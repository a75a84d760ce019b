"""The table of the server catalogue (F427), and its state in words (F428)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vmie_tui.model.formatting import plural
from vmie_tui.model.replication import Catalogue, CatalogueStatus, Server, stamp, until
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, clean, has_words, join

STATUS: dict[CatalogueStatus, Cell] = {
    CatalogueStatus.NOT_IMPORTED: ("○ not imported", "dim"),
    CatalogueStatus.IMPORTING: ("▶ importing", "busy"),
    CatalogueStatus.AVAILABLE: ("✔ available", "ok"),
    CatalogueStatus.DELETED: ("■ cleared", "dim"),
    CatalogueStatus.EXPIRED: ("▲ expired", "warn"),
}
EMPTY = {
    CatalogueStatus.NOT_IMPORTED: "No servers were imported yet. i reads them from vCenter.",
    CatalogueStatus.IMPORTING: "The servers are being read from vCenter.",
    CatalogueStatus.AVAILABLE: "vCenter shows no virtual machine to this account.",
    CatalogueStatus.DELETED: "The catalogue was cleared; replications go on. i reads the servers again.",
    CatalogueStatus.EXPIRED: "The catalogue is of another vCenter than this profile's. i reads its own.",
}


class ServerTable(LineTable[Server]):
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("mark", "", 1),
        Column("id", "Server id", 10),
        Column("name", "Server", 16, grows=1),
        Column("job", "Replication", 16),
        Column("over", "", 9),
        Column("path", "Path", 20, grows=2),
        Column("manager", "vCenter", 16, grows=1, from_width=120),
        Column("moid", "VM", 8, from_width=120),
    )

    def key_of(self, row: Server) -> str:
        return row.server_id

    def cell(self, row: Server, column: str) -> Cell:
        cells: dict[str, Cell] = {
            "mark": ("◉", "mark") if row.server_id in self.marked else ("○", "dim"),
            "id": (row.server_id, "dim"),
            "name": (clean(row.name), ""),
            "job": (row.replication_id, "ok") if row.replication_id else ("none", "dim"),
            "over": ("days over" if row.terminated else "", "warn"),
            "path": (clean(row.path), "dim"),
            "manager": (clean(row.manager), "dim"),
            "moid": (row.moid, "dim"),
        }
        return cells[column]


def job_words(server: Server) -> str:
    """Its replication job, and whether its days were over."""
    return join([server.replication_id, "days over" if server.terminated else ""], ", ") or "none"


def status_cells(catalogue: Catalogue, now: float) -> tuple[Cell, ...]:
    """``✔ available 2 h ago  6 servers, 2 replicated  2026-03-04 08:41 +0000``."""
    servers, when = catalogue.servers, catalogue.modified
    busy = sum(1 for server in servers if server.replication_id and not server.terminated)
    count = join([plural(len(servers), "server"), f"{busy:,} replicated" if busy else ""], ", ") if servers else ""
    words, style = STATUS[catalogue.status]
    if when is None:
        return ((words, style),)
    return (f"{words} {until(when, now)}", style), (f"  {count}" if count else "", "title"), (f"  {stamp(when)}", "dim")


def select(servers: Sequence[Server], words: str) -> tuple[Server, ...]:
    """Those with every word and none after ``!``, by name."""
    found = [server for server in servers if has_words(_words(server), words)] if words.strip() else servers
    return tuple(sorted(found, key=lambda server: (server.name.casefold(), server.path)))


def _words(server: Server) -> str:
    return "\n".join([server.server_id, server.path, server.name, server.moid, job_words(server)]).lower()


def as_text(servers: Sequence[Server]) -> str:
    """One line each: id, path, replication."""
    return "".join(
        f"{server.server_id}\t{clean(server.path or server.name)}\t{job_words(server)}\n" for server in servers
    )
