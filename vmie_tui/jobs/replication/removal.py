"""How the worker removes a deleted replication: its run is cancelled, then what only it needed is deleted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from vmie_tui.jobs.engine.context import AwsSessions
from vmie_tui.jobs.engine.tags import MADE_BY
from vmie_tui.jobs.imports.snapshot import snapshot_name
from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.replication_records import ReplicationRecord
from vmie_tui.jobs.store.replications import Replications, change, find, give_up, open_runs, runs_of
from vmie_tui.model.errors import ErrorKind, ServiceError, SettingsError, VmieError
from vmie_tui.model.replication import TAG_REPLICATION, ReplicationState
from vmie_tui.model.task import JobState
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot, tagged_snapshots
from vmie_tui.services.pacing import Backoff
from vmie_tui.settings import Profile

_log = logging.getLogger("vmie_tui.schedule")
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0  # seconds between attempts that failed


class Removal:
    """Removes deleted replications, one at a time, in its own thread: AWS may be slow."""

    def __init__(self, replications: Replications, sessions: AwsSessions, profile: Callable[[str], Profile]) -> None:
        self._replications, self._sessions, self._profile = replications, sessions, profile
        self._thread: threading.Thread | None = None
        self._backoffs: dict[str, tuple[Backoff, float]] = {}  # of those that failed; when to try once more

    def look(self, ident: str) -> None:
        """Continue the removal of a replication as far as possible without waiting."""
        with self._replications.store.begin() as connection:
            jobs = [run.job for run in open_runs(connection, ident) if not run.job_id or run.job is not None]
        if any(job is None or not (job.terminal or job is JobState.CANCELLING) for job in jobs):
            with self._replications.alone() as connection:
                give_up(connection, open_runs(connection, ident), "the replication is deleted")
            return
        at_work = self._thread is not None and self._thread.is_alive()
        _, at = self._backoffs.get(ident, (None, 0.0))
        if JobState.CANCELLING in jobs or at_work or time.monotonic() < at:
            return
        self._thread = threading.Thread(target=self.remove, args=(ident,), name="removal", daemon=True)
        self._thread.start()

    def remove(self, ident: str) -> None:
        """Delete what is left, then enter DELETED. What could not be removed is named, and tried again later."""
        try:
            record = self._replications.record(ident)
            message = self._snapshots(record) + self._left(record)
            self._journal(ident)
        except Exception as error:  # noqa: BLE001 - whatever it is must not be tried again at once
            if not isinstance(error, VmieError):
                _log.exception("%s cannot be removed", ident)
            backoff, _ = self._backoffs.get(ident, (Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE), 0.0))
            backoff.fail()
            self._backoffs[ident] = (backoff, time.monotonic() + backoff.seconds)
            why = str(error) if isinstance(error, VmieError) else type(error).__name__
            self._say(ident, f"deleting: {why}; it is tried again")
            return
        self._backoffs.pop(ident, None)
        with self._replications.alone() as connection:
            if find(connection, ident).state is ReplicationState.DELETING:
                change(connection, ident, state=ReplicationState.DELETED.value, kept=None, message=message)

    def _snapshots(self, record: ReplicationRecord) -> str:
        """Delete the EBS snapshots that no AMI uses. Returns the message for the user. Raises ServiceError."""
        region, kept = record.spec.plan.region, [disk.snapshot_id for disk in record.kept if disk.snapshot_id]
        kept += self._replications.leftovers(record.id)
        try:
            profile = self._profile(record.profile)
        except SettingsError as error:  # nobody can ask AWS any more
            stay = f"; {', '.join(kept)} in {region} may be left" if kept else ""
            return f"deleted, but {error.problem.what}{stay}"
        aws = self._sessions.of(profile.aws, read_only=profile.read_only)
        try:
            if (account := aws.identity().account) != record.account and record.account:
                stay = f"{', '.join(kept) or 'snapshots'} in {region} of account {record.account} may be left"
                return f"deleted; {stay}: the profile {record.profile} uses account {account} now"
            tagged = tagged_snapshots(aws, region, TAG_REPLICATION, record.id, described=MADE_BY)
            for snapshot_id in dict.fromkeys([*kept, *tagged]):
                try:
                    delete_snapshot(aws, region, snapshot_id)
                except ServiceError as error:
                    if error.kind is not ErrorKind.CONFLICT:  # that is: an AMI uses it, and stays
                        raise error.about(snapshot_id) from error
        except ServiceError as error:
            if error.kind is ErrorKind.LOGIN:
                self._sessions.forget(profile.aws)
            raise
        return "deleted; its AMIs are kept"

    def _left(self, record: ReplicationRecord) -> str:
        """What to tell of a vSphere snapshot that the last run could not remove; no later run will."""
        store = self._replications.store
        with store.begin() as connection:
            last = next((run.job_id for run in runs_of(connection, record.id) if run.job_id), "")
        ledger = store.record(last).ledger_as(RunLedger) if last else RunLedger()
        if not (ledger.snapshot or ledger.snapshot_asked):
            return ""
        name = record.spec.plan.source.name
        return f"; remove the snapshot {snapshot_name(last)!r} of {name} in vCenter, if it is there"

    def _journal(self, ident: str) -> None:
        """Delete the digests of its disks' blocks."""
        table = schema.blocks
        with self._replications.store.begin() as connection:
            keys = connection.execute(sa.select(table.c.key).where(table.c.job_id == ident).distinct()).scalars().all()
        for key in keys:
            BlockJournal(self._replications.store, ident, key).clear()

    def _say(self, ident: str, message: str) -> None:
        with self._replications.alone() as connection:
            change(connection, ident, message=message)
