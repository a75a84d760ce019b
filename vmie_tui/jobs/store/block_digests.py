"""SHA-256 of every block that a replication's last copy of a disk has: what a resync by checksums compares with.

The digests are those of one EBS snapshot, and are only of use while that is the next run's parent. They are brought
up to date block by block, so a marker beside them says of which snapshot they are, or on the way from which to which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.database import Database

MARKER = -1  # the index of the marker among the blocks
AT_ONCE = 2_000  # blocks written in one transaction: others write to the database too


class BlockDigests:
    """The blocks with data of one disk of a replication; a block that is not there is zeros."""

    def __init__(self, database: Database, replication_id: str, key: int) -> None:
        self._database, self._mine = database, (replication_id, key)
        self._blocks = BlockJournal(database, replication_id, key)

    def is_of(self, snapshot_id: str) -> bool:
        """Whether these are the digests of this snapshot."""
        return self._marker() == _mark(snapshot_id)

    def load(self) -> Iterator[tuple[int, bytes]]:
        """(block index, SHA-256), ascending."""
        return self._blocks.load()

    def update(self, put: Iterable[tuple[int, bytes]], snapshot_id: str, parent: str) -> bool:
        """Make them those of ``snapshot_id``, which is ``parent`` with the blocks ``put``; all blocks without a parent.

        False when they are not those of the parent: then nothing is known. Repeated after it was broken off, it goes
        on.
        """
        marker, on_the_way = self._marker(), _mark(f"{parent}>{snapshot_id}")
        if marker == _mark(snapshot_id):
            return True
        if not parent:
            self.clear()
        elif marker not in {_mark(parent), on_the_way}:
            self.clear()
            return False
        self._mark(on_the_way)
        page: list[tuple[int, bytes]] = []
        for block in put:
            page.append(block)
            if len(page) == AT_ONCE:
                self._blocks.append(page)
                page = []
        self._blocks.append(page)
        self._mark(_mark(snapshot_id))
        return True

    def clear(self) -> None:
        """Nothing is known."""
        self._blocks.clear()

    def _marker(self) -> bytes:
        table = schema.blocks
        query = sa.select(table.c.sha256).where(
            table.c.job_id == self._mine[0], table.c.key == self._mine[1], table.c.block == MARKER
        )
        with self._database.begin() as connection:
            found = connection.execute(query).scalar()
        return bytes(found) if found else b""

    def _mark(self, marker: bytes) -> None:
        self._blocks.append([(MARKER, marker)])


def _mark(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
