"""What has been put into pending EBS snapshots, kept in the database: EBS itself does not tell (trap 22)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.database import Database

PAGE = 10_000
CLEARED_AT_ONCE = 50_000  # rows of one transaction


class BlockJournal:
    """The blocks of one disk of one job (`services.aws.ebs.block_ledger.Journal`)."""

    def __init__(self, database: Database, job_id: str, key: int) -> None:
        self._database, self._job_id, self._key = database, job_id, key

    def load(self) -> Iterator[tuple[int, bytes]]:
        """(block index, SHA-256) of all that was put, ascending."""
        after = -1
        while page := self._page(after):
            yield from page
            after = page[-1][0]

    def _page(self, after: int) -> list[tuple[int, bytes]]:
        table = schema.blocks
        query = (
            sa.select(table.c.block, table.c.sha256)
            .where(table.c.job_id == self._job_id, table.c.key == self._key, table.c.block > after)
            .order_by(table.c.block)
            .limit(PAGE)
        )
        with self._database.begin() as connection:
            return [(index, bytes(digest)) for index, digest in connection.execute(query)]

    def append(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        """These were put; a later digest replaces an earlier one."""
        if not blocks:
            return
        mine = {"job_id": self._job_id, "key": self._key}
        rows = [{**mine, "block": index, "sha256": digest} for index, digest in dict(blocks).items()]
        table = schema.blocks
        indexes = [row["block"] for row in rows]
        with self._database.begin() as connection:
            connection.execute(
                table.delete().where(
                    table.c.job_id == self._job_id, table.c.key == self._key, table.c.block.in_(indexes)
                )
            )
            connection.execute(table.insert(), rows)

    def clear(self) -> None:
        """The snapshot is gone: nothing of it was put. Not at once: a large disk has millions of them, and others wait.

        In the order of their indexes: what is left of a clear that was broken off is a tail.
        """
        table = schema.blocks
        mine = (table.c.job_id == self._job_id) & (table.c.key == self._key)
        beyond = sa.select(table.c.block).where(mine).order_by(table.c.block).offset(CLEARED_AT_ONCE).limit(1)
        while True:
            with self._database.begin() as connection:
                following = connection.execute(beyond).scalar()
                connection.execute(
                    table.delete().where(mine & (table.c.block < following) if following is not None else mine)
                )
            if following is None:
                return
