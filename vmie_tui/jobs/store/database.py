"""The one database of a state folder, SQLite or PostgreSQL: its URL, engines and transactions, its errors in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.database_url import checked_url
from vmie_tui.known_secrets import hidden
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.private_files import private_database
from vmie_tui.services import sqlite

DATABASE_FILE = "vmie.db"
BUSY_SECONDS = 30
WORKFLOW_CONNECTIONS = 20
DAMAGED = (  # as SQLite says it; all tables, and DBOS's too, are made before anything reads them
    "file is not a database",
    "database disk image is malformed",
    "no such table",
    "no such column",
)
DAMAGED_STATES = frozenset({"42P01", "42703"})  # PostgreSQL's codes for a table and a column that are not there


class Database:
    """Transactions on one database. Safe to share between threads."""

    def __init__(self, state_dir: Path, url: str | None = None) -> None:
        self._url = database_url(state_dir, url)
        self._file = None if url else state_dir / DATABASE_FILE
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
        engine = make_engine(self._url)
        try:
            with engine.begin() as connection:
                schema.create(connection)
        except DatabaseError as error:
            raise local_problem(error, self._file or "database") from error
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
            raise local_problem(error, self._file or "database") from error

    def only_id(self, table: sa.Table, prefix: str, starts: Sequence[str], what: str) -> str | None:
        """The id of the only row of ``table`` that starts with one of ``starts``, or that is ``prefix``; None for none.

        ``what``: "job", ... Raises ServiceError INVALID where several do.
        """
        found: list[str] = []
        if self.exists and prefix:
            which = sa.or_(*(table.c.id.startswith(start, autoescape=True) for start in starts))
            with self.begin() as connection:
                found = list(connection.execute(sa.select(table.c.id).where(which).limit(5)).scalars())
        if len(found) > 1 and prefix not in found:
            raise ServiceError(
                ErrorKind.INVALID, f"more than one {what} starts like this", subject=prefix, detail=", ".join(found)
            )
        return prefix if prefix in found else next(iter(found), None)


def database_url(state_dir: Path, configured: str | None) -> str:
    """The URL of the one database for progress and durable workflows. Raises SettingsError as `checked_url`."""
    return checked_url(configured) if configured else f"sqlite:///{state_dir / DATABASE_FILE}"


def make_engine(url: str) -> sa.Engine:
    """An engine for ``url``; a SQLite file is made with mode 0600 and set to write-ahead logging."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    path = Path(parsed.database or "")
    try:
        private_database(path)
    except OSError as error:
        raise local_problem(error, path) from error
    engine = sa.create_engine(url, module=sqlite.driver(), connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        sqlite.prepare(connection)
        connection.text_factory = _text  # sqlite3 would fail the whole query for one text that is no UTF-8
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def workflow_engine(url: str) -> sa.Engine | None:
    """What DBOS reaches the same database through, set up as it sets up its own; None where it is to make one itself.

    Its own would go through Python's SQLite, whatever `services.sqlite` has chosen.
    """
    if sa.make_url(url).get_backend_name() != "sqlite":
        return None
    engine = sa.create_engine(
        url,
        module=sqlite.driver(),
        connect_args={"timeout": BUSY_SECONDS},
        pool_size=WORKFLOW_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        sqlite.prepare(connection)
        connection.isolation_level = "IMMEDIATE"  # its transactions read before they write
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def is_damaged(error: Exception) -> bool:
    """Whether the database itself is broken, so that no second try makes it better."""
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlstate", "") in DAMAGED_STATES or any(words in str(cause) for words in DAMAGED)


def server_problem(text: str) -> ServiceError:
    """What PostgreSQL, or the way to it, says."""
    remedy = "Check database_url and that the server runs, then try again"
    if any(word in text for word in ("SSL", "certificate")):
        remedy = (
            "The server must offer TLS with a certificate for its name; name its authority with sslrootcert=FILE in "
            "database_url. Only where the network is safe: say sslmode=require, or disable, there"
        )
    return ServiceError(
        ErrorKind.NETWORK, "the job database cannot be used", subject="database_url", remedy=remedy, detail=hidden(text)
    )


def local_problem(error: Exception, subject: object) -> ServiceError:
    """What SQLite or the file system says, in words: the disk full, no permission, locked for too long."""
    text = str(getattr(error, "orig", None) or error)
    if not isinstance(subject, Path):
        if is_damaged(error):
            return ServiceError(
                ErrorKind.LOCAL,
                "the job database is damaged",
                subject="database_url",
                remedy="Restore it from a backup, or name an empty one: the list of jobs is lost then, not what they "
                "brought to AWS",
                detail=hidden(text),
            )
        return server_problem(text)
    if is_damaged(error):
        return ServiceError(
            ErrorKind.LOCAL,
            "the state database is damaged",
            subject=str(subject),
            remedy="End the worker, then put a copy of the file back, or move it away and start with an empty one: "
            "the list of jobs is lost then, not what they brought to AWS",
            detail=text,
        )
    full = "disk is full" in text or "No space left" in text or "disk I/O" in text
    return ServiceError(
        ErrorKind.LOCAL,
        "the disk of the state folder is full" if full else "the state database cannot be used",
        subject=str(subject),
        remedy="Free some space, then resume the job" if full else "Check the folder's owner, mode and free space",
        retry_safe=True,
        detail=text,
    )
