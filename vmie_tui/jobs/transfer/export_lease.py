"""The export lease of one machine, shared by all its disks: opened when first needed, again after it was lost."""

from __future__ import annotations

import hashlib
import threading
import time
import weakref
from collections.abc import Iterable

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError, VmieError
from vmie_tui.model.job import StageState
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease
from vmie_tui.services.vsphere.nfc.orphaned_leases import end_own_export

BUSY = "TaskInProgress"
LEFT_BEHIND_SECONDS, LOOK_SECONDS = 330.0, 5.0  # vCenter ends a silent lease after five minutes


_holders: weakref.WeakSet[LeaseHolder] = weakref.WeakSet()


def open_holders() -> list[LeaseHolder]:
    """The leases this process may hold now."""
    return list(_holders)


class LeaseHolder:
    """The export lease of one machine or snapshot, opened when first needed and again after it was lost."""

    def __init__(self, context: ImportContext, moid: str, snapshot_moid: str | None) -> None:
        self.context, self._moid, self._snapshot = context, moid, snapshot_moid
        self._lock = threading.Lock()
        self._lease: ExportLease | None = None
        self._closed = False
        _holders.add(self)

    def get(self) -> ExportLease:
        """The lease in use, a new one when there is none. Raises ServiceError."""
        with self._lock:
            self.check()
            if self._lease is None:
                lease = self._open()
                if self._closed:  # while it was being opened: `close` had nothing to end yet
                    self._give_up(lease, "the transfer was stopped")
                    self.check()
                self._refuse_changed_machine(lease)
                self._lease = lease
            return self._lease

    def _give_up(self, lease: ExportLease, reason: str) -> None:
        lease.abort(reason)
        self._ended()

    def _refuse_changed_machine(self, lease: ExportLease) -> None:
        """A machine that is off may have run since another of its disks was read; under a lease it cannot start."""
        context = self.context
        state = off_state(lease.content_ids)
        if self._snapshot or context.ledger.source_state == state:
            return
        if any(disk.state is StageState.DONE for disk in context.disks()):
            self._give_up(lease, "the machine ran meanwhile")
            raise ServiceError(
                ErrorKind.CONFLICT,
                "the machine ran after some of its disks were read",
                subject=context.plan.source.name,
                remedy="Power it off and resume the job: every disk is read again",
            )
        context.remember(source_state=state)

    def _open(self) -> ExportLease:
        """A new lease; one that a killed worker of ours left on the machine is ended first."""
        context = self.context
        left_behind = context.ledger.lease_open
        context.remember(lease_open=True)
        deadline, logins = time.monotonic() + LEFT_BEHIND_SECONDS, 0
        while True:
            try:
                lease = self._enter()
                break
            except ServiceError as error:
                if error.kind is ErrorKind.LOGIN and not logins:
                    logins += 1
                    context.reconnect()  # the session may only have expired
                elif error.problem.code == BUSY and left_behind and time.monotonic() < deadline:
                    self._end_orphaned_export()
                else:
                    if error.problem.code == BUSY:
                        self._ended()  # the export that is going on is another job's: not ours to end
                    raise
        context.say(f"export lease ready, {len(lease.disks)} disk(s)", message=False)
        return lease

    def _end_orphaned_export(self) -> None:
        if not end_orphaned_export(self.context, self._moid):
            self.context.say("waiting until the export of the killed worker times out")
            self.context.control.wait(LOOK_SECONDS)

    def _ended(self) -> None:
        self.context.remember(lease_open=False)

    def _enter(self) -> ExportLease:
        lease = ExportLease(self.context.vsphere, self._moid, snapshot_moid=self._snapshot)
        return lease.__enter__()

    def drop(self, lease: ExportLease, reason: str) -> None:
        """Give up a lease that is lost or suspect; whoever asks next gets a new one."""
        with self._lock:
            if self._lease is lease:
                self._lease = None
                self._give_up(lease, reason)

    def close(self) -> None:
        """End the lease for good, now: streams that are being read break, and no new lease is opened."""
        self._closed = True
        lease: ExportLease | None = self._lease
        if lease is not None:
            self._give_up(lease, "the transfer was stopped")

    def forget(self) -> None:
        """The transfer is over."""
        _holders.discard(self)

    def check(self) -> None:
        """Raises Cancelled once closed: the user stopped the job, or another disk of the machine failed."""
        self.context.control.check()
        if self._closed:
            raise Cancelled("stopped with the machine's other disks")

    def complete(self) -> None:
        """Say that all was read. Nothing is lost when the host does not answer: the objects are complete."""
        with self._lock:
            lease, self._lease = self._lease, None
            if lease is None:
                give_lease_back(self.context)
            else:
                try:
                    lease.complete()
                except VmieError as error:
                    self.context.say(f"the lease could not be completed: {error}", message=False, level="warning")
                self._ended()

    def checksum(self, lease: ExportLease, lease_key: str) -> str | None:
        """The host's own SHA-256 of a file, when it gives one (trap 7)."""
        with self._lock:
            try:
                entry = lease.manifest(lease_key).get(lease_key)
            except ServiceError as error:
                self.context.say(f"no manifest from the host: {error}", message=False, level="warning")
                return None
        return entry.sha256 if entry is not None else None


def off_state(content_ids: Iterable[tuple[int, str]]) -> str:
    """What tells one state of a powered-off machine's disks from the next: vSphere gives a disk that was written to
    another content id. ``content_ids`` are (device key, content id)."""
    return "off " + hashlib.sha256(repr(sorted(content_ids)).encode()).hexdigest()[:16]


def end_orphaned_export(context: ImportContext, moid: str) -> bool:
    """End an export of this machine that a killed worker of ours holds; False when there is none."""
    ended = end_own_export(context.vsphere, moid)
    if ended:
        context.say("ended the export that the killed worker left behind", message=False)
    return ended


def give_lease_back(context: ImportContext) -> None:
    """End the lease that the ledger says was never given back, if there is one. Raises ServiceError."""
    ledger = context.ledger
    if ledger.lease_open:
        end_orphaned_export(context, ledger.moid)
        context.remember(lease_open=False)
