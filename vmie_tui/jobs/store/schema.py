"""Tables of the one database of a state folder, and how those and the columns that are missing are made."""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from vmie_tui.jobs.store.rows import StoredJson

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
