"""Tables of the progress store and the engine that reaches them: SQLite in the state folder, or any SQLAlchemy URL."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from vmie_tui.jobs.store.database_url import checked_url
from vmie_tui.jobs.store.rows import StoredJson
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
SCHEMA_LOCK = 0x766D6965  # "vmie"

metadata = sa.MetaData()

jobs = sa.Table(
    "vmie_jobs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("control", sa.String(16), nullable=False, default=""),  # what the user asked for: cancel, pause
    sa.Column("attempt", sa.Integer, nullable=False, default=1),  # one more with each resume
    sa.Column("dispatched", sa.Integer, nullable=False, default=0),  # the attempt a worker has taken up
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False, default=""),
    sa.Column("fraction", sa.Float),
    sa.Column("rate", sa.Float, nullable=False, default=0.0),
    sa.Column("eta", sa.Float),
    sa.Column("task_id", sa.Text, nullable=False, default=""),
    sa.Column("task_progress", sa.Integer),
    sa.Column("task_message", sa.Text, nullable=False, default=""),
    sa.Column("image_id", sa.Text, nullable=False, default=""),
    sa.Column("source", sa.Text, nullable=False, default=""),
    sa.Column("target", sa.Text, nullable=False, default=""),
    sa.Column("plan", StoredJson, nullable=False),
    sa.Column("problem", StoredJson(none_as_null=True)),
    sa.Column("ledger", StoredJson, nullable=False),  # what a later attempt must know: snapshot, host, client token
    sa.Column("results", StoredJson(none_as_null=True)),  # what was made besides the AMI, by what it is
    sa.Column("at_work", sa.Text),  # executor of the worker that has it at work at this moment
    sa.Column("deaths", sa.Integer),  # workers that died while they had it at work and got no further, in a row
    sa.Column("reached", sa.BigInteger),  # how far it was when the last of them died, see `Store.count_deaths`
)

stages = sa.Table(
    "vmie_job_stages",
    metadata,
    sa.Column("job_id", sa.String(32), primary_key=True),
    sa.Column("stage", sa.String(16), primary_key=True),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
)

disks = sa.Table(
    "vmie_job_disks",
    metadata,
    sa.Column("job_id", sa.String(32), primary_key=True),
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("capacity", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False, default=0),
    sa.Column("done", sa.BigInteger, nullable=False, default=0),
    sa.Column("skipped", sa.BigInteger, nullable=False, default=0),
    sa.Column("rate", sa.Float, nullable=False, default=0.0),
    sa.Column("parts_done", sa.Integer, nullable=False, default=0),
    sa.Column("state", sa.String(16), nullable=False, default="pending"),
    sa.Column("sha256", sa.Text, nullable=False, default=""),
    sa.Column("verified", sa.Boolean),
    sa.Column("s3_key", sa.Text, nullable=False, default=""),
    sa.Column("snapshot_id", sa.Text, nullable=False, default=""),
    sa.Column("checksum", sa.Text, nullable=False, default=""),  # of the whole object, as S3 keeps it
    sa.Column("host_sha256", sa.Text),  # what the host itself says its stream's SHA-256 is
    sa.Column("samples", StoredJson(none_as_null=True)),  # SHA-256 of some blocks by their index, for the proof
    sa.Column("ledger", StoredJson(none_as_null=True)),  # what a later attempt must know of this disk
)

blocks = sa.Table(
    "vmie_blocks",
    metadata,
    sa.Column("job_id", sa.String(32), primary_key=True),
    sa.Column("key", sa.Integer, primary_key=True),  # of the disk
    sa.Column("block", sa.Integer, primary_key=True),  # index of 512 KiB blocks that EBS has confirmed
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

log = sa.Table(
    "vmie_job_log",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String(32), nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("level", sa.String(8), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

replications = sa.Table(
    "vmie_replications",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False),  # of AWS: so many VMs may be on their way in each
    sa.Column("vm", sa.Text, nullable=False),  # the machine, see vmie_replicated
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False, default=False),
    sa.Column("terminated", sa.Boolean, nullable=False, default=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("next_run", sa.Float),
    sa.Column("failures", sa.Integer, nullable=False, default=0),  # runs that failed one after another
    sa.Column("message", sa.Text, nullable=False, default=""),
    sa.Column("spec", StoredJson, nullable=False),  # a model.replication.Replication
    sa.Column("kept", StoredJson(none_as_null=True)),  # KeptDisk of every disk, as the last completed run left them
)

runs = sa.Table(
    "vmie_runs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("replication_id", sa.String(32), nullable=False, index=True),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("scheduled", sa.Float, nullable=False),
    sa.Column("asked", sa.Float, nullable=False),  # when it was recorded: what the 24 hours of on-demand runs count
    sa.Column("job_id", sa.String(32), nullable=False, default=""),
    sa.Column("after", StoredJson(none_as_null=True)),  # runs of the same group that must be over first
    sa.Column("missed", sa.Text, nullable=False, default=""),  # why it never started
    sa.Column("settled", sa.String(16), nullable=False, default="", index=True),  # how it ended, once that was noted
    sa.Column("wish", StoredJson, nullable=False),  # resync, verify, cutover: what it was asked to do
    sa.Column("started", sa.Float),
    sa.Column("completed", sa.Float),
    sa.Column("image_gone", sa.Boolean, nullable=False, default=False),
    sa.Column("figures", StoredJson(none_as_null=True)),  # RunFigures
    sa.UniqueConstraint("replication_id", "type", "scheduled"),  # a scheduled time has one run, whoever saw it due
)

replicated = sa.Table(
    "vmie_replicated",
    metadata,
    sa.Column("vm", sa.Text, primary_key=True),  # vCenter and instance UUID
    sa.Column("first", sa.Float),  # start of its first replication ever
    sa.Column("extended_days", sa.Integer, nullable=False, default=0),
)

catalogues = sa.Table(
    "vmie_catalogues",
    metadata,
    sa.Column("profile", sa.Text, primary_key=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("modified", sa.Float, nullable=False),
    sa.Column("host", sa.Text, nullable=False),  # of the vCenter, as the profile named it
    sa.Column("importing", sa.Float),  # since when it is being imported; of the wall clock
    sa.Column("servers", StoredJson, nullable=False),  # model.replication.Server, without their replications
)

workers = sa.Table(
    "vmie_workers",
    metadata,
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
)


def create(connection: sa.Connection) -> None:
    """Make the tables, indexes and columns that are missing; several processes may do so at once."""
    if connection.dialect.name == "postgresql":  # its IF NOT EXISTS fails when another makes the same at that moment
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
        _add_columns(connection, table)


def _add_columns(connection: sa.Connection, table: sa.Table) -> None:
    """Columns that came with a later version; all of them may be null."""
    there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    unless = "IF NOT EXISTS " if connection.dialect.name == "postgresql" else ""
    for column in table.columns:
        if column.name not in there:
            kind = column.type.compile(connection.dialect)
            with contextlib.suppress(OperationalError):  # another process was faster
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {unless}{column.name} {kind}"))


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
