"""The one database of a state folder: opened when first used, its errors said in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

from vmie_tui.jobs.store import schema


class Database:
    """Transactions on one database. Safe to share between threads."""

    def __init__(self, state_dir: Path, url: str | None = None) -> None:
        self._url = schema.database_url(state_dir, url)
        self._file = None if url else state_dir / schema.DATABASE_FILE
        self._engine: sa.Engine | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    @property
    def exists(self) -> bool:
        """Whether anything was ever stored: reading must not make a database."""
        return self._file is None or self._file.exists()

    @property
    def engine(self) -> sa.Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _open(self) -> sa.Engine:
        engine = schema.make_engine(self._url)
        try:
            with engine.begin() as connection:
                schema.create(connection)
        except DatabaseError as error:
            raise schema.local_problem(error, self._file or "database") from error
        return engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction. Raises ServiceError LOCAL: the disk is full, locked for too long, no permission."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except (IntegrityError, ProgrammingError):  # a bug of ours, not the state of the file
            raise
        except DatabaseError as error:
            raise schema.local_problem(error, self._file or "database") from error
