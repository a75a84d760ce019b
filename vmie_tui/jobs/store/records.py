"""What the worker reads of a job: rows of the store as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.kinds import KINDS, JobPlan
from vmie_tui.jobs.store.ledger import DiskLedger, JobLedger
from vmie_tui.jobs.store.rows import typed
from vmie_tui.model.job import StageState
from vmie_tui.model.task import JobState

L = TypeVar("L", bound=JobLedger)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as the worker needs it."""

    id: str
    kind: str
    name: str
    state: JobState
    control: str
    attempt: int
    dispatched: int
    plan: JobPlan
    ledger: JobLedger  # of its kind, see `ledger_as`
    task_id: str
    image_id: str
    deaths: int = 0

    def ledger_as(self, kind: type[L]) -> L:
        """The ledger as one of this class. Raises TypeError for a job of another kind."""
        if not isinstance(self.ledger, kind):
            raise TypeError(f"job {self.id} has a {type(self.ledger).__name__}")
        return self.ledger


@dataclass(frozen=True, slots=True)
class DiskRecord:
    """One disk's transfer as it was last recorded; ``total`` is the object's size once ``done``."""

    key: int
    label: str
    capacity: int
    total: int
    state: StageState
    s3_key: str
    sha256: str
    checksum: str
    snapshot_id: str = ""
    host_sha256: str = ""
    verified: bool | None = None
    samples: dict[int, str] = field(default_factory=dict)  # SHA-256 (hex) of some of its blocks, by their index
    ledger: DiskLedger = field(default_factory=DiskLedger)

    @property
    def done(self) -> bool:
        return self.state is StageState.DONE


def job_record(row: sa.RowMapping) -> JobRecord:
    """Raises one of `rows.UNREADABLE` for a row that this version did not write."""
    typed(schema.jobs, row)
    kind = KINDS[row["kind"]]
    return JobRecord(
        row["id"],
        row["kind"],
        row["name"],
        JobState(row["state"]),
        row["control"],
        row["attempt"],
        row["dispatched"],
        kind.load(row["plan"]),
        kind.ledger.from_json(row["ledger"]),
        row["task_id"],
        row["image_id"],
        row["deaths"] or 0,
    )


def disk_record(row: sa.RowMapping) -> DiskRecord:
    """Raises one of `rows.UNREADABLE`, as `job_record`."""
    typed(schema.disks, row)
    return DiskRecord(
        row["key"],
        row["label"],
        row["capacity"],
        row["total"],
        StageState(row["state"]),
        row["s3_key"],
        row["sha256"],
        row["checksum"],
        row["snapshot_id"],
        row["host_sha256"] or "",
        row["verified"],
        {int(index): digest for index, digest in (row["samples"] or {}).items()},
        DiskLedger.from_json(row["ledger"] or {}),
    )
