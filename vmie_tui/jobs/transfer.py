"""Moving the disks of one machine: one export lease shared by all its disks, each disk's stream to its own object.

A disk that is done is recorded and never read again. After a lost lease, a reset connection or a damaged stream the
disk is read again from its start; the parts that are in S3 already are recognised by their checksum and not sent.
"""

from __future__ import annotations

import hashlib
import threading
import time
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vmie_tui.jobs.control import Paused
from vmie_tui.jobs.import_context import ImportContext
from vmie_tui.jobs.process import give_memory_back
from vmie_tui.jobs.progress import UploadProgress
from vmie_tui.jobs.retry import Backoff
from vmie_tui.jobs.store import DiskRecord
from vmie_tui.jobs.tee import DiskFeed
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError, VmieError
from vmie_tui.model.job import StageState

if TYPE_CHECKING:
    from vmie_tui.services.aws.objects import Uploaded
    from vmie_tui.services.vsphere.lease import ExportLease, LeaseDisk

CONTENT_TYPE = "application/x-vmdk"
BUSY = "TaskInProgress"
LEFT_BEHIND_SECONDS, LOOK_SECONDS = 330.0, 5.0  # vCenter ends a silent lease after five minutes
HEADER_ROOM = 1 << 20  # a stream of incompressible data is a little larger than the disk


_holders: weakref.WeakSet[LeaseHolder] = weakref.WeakSet()


def open_holders() -> list[LeaseHolder]:
    """The leases this process may hold now."""
    return list(_holders)


class LeaseHolder:
    """The export lease of one machine or snapshot, opened when first needed and again after it was lost."""

    def __init__(self, context: ImportContext, moid: str, snapshot_moid: str | None) -> None:
        self._context, self._moid, self._snapshot = context, moid, snapshot_moid
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
                self._refuse_another_moment(lease)
                self._lease = lease
            return self._lease

    def _give_up(self, lease: ExportLease, reason: str) -> None:
        lease.abort(reason)
        self._ended()

    def _refuse_another_moment(self, lease: ExportLease) -> None:
        """A machine that is off may have run since another of its disks was read; under a lease it cannot start."""
        context = self._context
        moment = off_moment(lease.content_ids)
        if self._snapshot or context.record.ledger.get("moment") == moment:
            return
        if any(disk.state is StageState.DONE for disk in context.store.disks(context.job_id)):
            self._give_up(lease, "the machine ran meanwhile")
            raise ServiceError(
                ErrorKind.CONFLICT,
                "the machine ran after some of its disks were read",
                subject=context.plan.source.name,
                remedy="Power it off and resume the job: every disk is read again",
            )
        context.store.remember(context.job_id, moment=moment)

    def _open(self) -> ExportLease:
        """A new lease; one that a killed worker of ours left on the machine is ended first."""
        context = self._context
        left_behind = bool(context.record.ledger.get("lease"))
        context.store.remember(context.job_id, lease=True)
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
                    self._end_left_behind()
                else:
                    if error.problem.code == BUSY:
                        self._ended()  # the export that is going on is another job's: not ours to end
                    raise
        context.say(f"export lease ready, {len(lease.disks)} disk(s)", message=False)
        return lease

    def _end_left_behind(self) -> None:
        if not end_left_behind(self._context, self._moid):
            self._context.say("waiting until the export of the killed worker times out")
            self._context.control.wait(LOOK_SECONDS)

    def _ended(self) -> None:
        self._context.store.remember(self._context.job_id, lease=None)

    def _enter(self) -> ExportLease:
        from vmie_tui.services.vsphere.lease import ExportLease

        lease = ExportLease(self._context.vsphere, self._moid, snapshot_moid=self._snapshot)
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
        """The transfer is over; with the last one of the process its part buffers go back to the system."""
        from vmie_tui.services.aws.buffers import SHARED

        _holders.discard(self)
        if not _holders:
            SHARED.trim()
            give_memory_back()

    def check(self) -> None:
        """Raises Cancelled once closed: the user stopped the job, or another disk of the machine failed."""
        self._context.control.check()
        if self._closed:
            raise Cancelled("stopped with the machine's other disks")

    def complete(self) -> None:
        """Say that all was read. Nothing is lost when the host does not answer: the objects are complete."""
        with self._lock:
            lease, self._lease = self._lease, None
            if lease is None:
                give_back(self._context)
            else:
                try:
                    lease.complete()
                except VmieError as error:
                    self._context.say(f"the lease could not be completed: {error}", message=False, level="warning")
                self._ended()

    def checksum(self, lease: ExportLease, lease_key: str) -> str | None:
        """The host's own SHA-256 of a file, when it gives one (trap 7)."""
        with self._lock:
            try:
                entry = lease.manifest(lease_key).get(lease_key)
            except ServiceError as error:
                self._context.say(f"no manifest from the host: {error}", message=False, level="warning")
                return None
        return entry.sha256 if entry is not None else None


def off_moment(content_ids: Iterable[tuple[int, str]]) -> str:
    """What tells one state of a powered-off machine's disks from the next: vSphere gives a disk that was written to
    another content id. ``content_ids`` are (device key, content id)."""
    return "off " + hashlib.sha256(repr(sorted(content_ids)).encode()).hexdigest()[:16]


def end_left_behind(context: ImportContext, moid: str) -> bool:
    """End an export of this machine that a killed worker of ours holds; False when there is none."""
    from vmie_tui.services.vsphere.orphans import end_own_export

    ended = end_own_export(context.vsphere, moid)
    if ended:
        context.say("ended the export that the killed worker left behind", message=False)
    return ended


def give_back(context: ImportContext) -> None:
    """End the lease that the ledger says was never given back, if there is one. Raises ServiceError."""
    ledger = context.record.ledger
    if ledger.get("lease"):
        end_left_behind(context, ledger["moid"])
        context.store.remember(context.job_id, lease=None)


class _Meter:
    """What the object store tells and asks during one disk's upload (`TransferControl`)."""

    def __init__(self, holder: LeaseHolder, progress: UploadProgress, lease: ExportLease, key: int) -> None:
        self._holder, self.progress, self._lease, self._key = holder, progress, lease, key
        self.moved = 0

    def stop(self) -> None:
        self._holder.check()
        self._lease.check()

    def received(self, nbytes: int) -> None:
        self.progress.received(self._key, nbytes)
        self._lease.progress(self.progress.share())

    def sent(self, nbytes: int, *, skipped: bool) -> None:
        if not skipped:
            self.moved += nbytes
        self.progress.part(self._key, nbytes, skipped=skipped)


def already_there(context: ImportContext, disk: DiskRecord) -> bool:
    """Whether the disk was recorded as done and its object is still as it was recorded."""
    if disk.state is not StageState.DONE:
        return False
    found = context.objects.head(context.plan.bucket, disk.s3_key)
    return found is not None and found.size == disk.total and (not disk.checksum or found.checksum == disk.checksum)


def move_disk(
    context: ImportContext, holder: LeaseHolder, progress: UploadProgress, disk: DiskRecord
) -> dict[str, Any]:
    """Bring one disk to S3 and record it; the figures of its object. Raises VmieError when it cannot be done."""
    backoff = Backoff()
    context.store.disk(context.job_id, disk.key, state=StageState.RUNNING.value)
    while True:
        lease = None
        meter: _Meter | None = None
        try:
            lease = holder.get()
            meter = _Meter(holder, progress, lease, disk.key)
            return _move(context, holder, disk, lease, meter)
        except (Cancelled, Paused):
            raise
        except VmieError as error:
            holder.check()  # a lease we aborted ourselves looks like a network error
            if meter is not None and meter.moved and error.kind is not ErrorKind.CORRUPT:
                backoff.reset()
            lost = lease is not None and _is_lost(lease)
            hopeless = error.kind is ErrorKind.LOGIN or not _worth_another_try(error)
            if (hopeless and not lost) or not backoff.fail():
                raise error.about(disk.label) from None
            context.say(f"{disk.label}: {error.problem.what}; trying again", message=False, level="warning")
            if lease is not None and (error.kind is ErrorKind.CORRUPT or lost):
                holder.drop(lease, error.problem.what)
        context.control.wait(backoff.seconds)


def _is_lost(lease: ExportLease) -> bool:
    try:
        lease.check()
    except VmieError:
        return True
    return False


def _worth_another_try(error: VmieError) -> bool:
    return error.problem.retry_safe or error.kind in {ErrorKind.CORRUPT, ErrorKind.NETWORK, ErrorKind.THROTTLED}


def _move(
    context: ImportContext, holder: LeaseHolder, disk: DiskRecord, lease: ExportLease, meter: _Meter
) -> dict[str, Any]:
    from vmie_tui.services.aws.objects import UploadRequest

    source = _lease_disk(lease, disk)
    proof: dict[str, Any] = {}

    def at_end(sha256: str, size: int) -> None:
        expected = holder.checksum(lease, source.key)
        if expected is not None and expected.lower() != sha256:
            raise ServiceError(
                ErrorKind.CORRUPT,
                "the bytes received are not those the host sent: its SHA-256 differs",
                subject=disk.label,
                retry_safe=True,
                detail=f"host {expected}, received {sha256}",
            )
        proof.update(sha256=sha256, size=size, verified=None if expected is None else True)

    with lease.open(source) as stream:
        total = stream.content_length or source.file_size
        meter.progress.restart(disk.key, total)
        context.say(f"{disk.label}: reading from {stream.host}", message=False)
        with DiskFeed(
            stream,
            check=meter.stop,
            on_bytes=meter.received,
            at_end=at_end,
            on_offset=None if total else lambda offset: meter.progress.covered(disk.key, offset),
        ) as feed:
            request = UploadRequest(
                bucket=context.plan.bucket,
                key=disk.s3_key,
                size_hint=total or disk.capacity + disk.capacity // 50 + HEADER_ROOM,
                content_type=CONTENT_TYPE,
                metadata={"vmie-job": context.job_id},
            )
            uploaded = context.objects.upload(request, feed.fill, control=meter)
    meter.progress.finish(disk.key, uploaded.size)
    _record_done(context, disk, uploaded, proof)
    return {"size": uploaded.size, "sent": uploaded.sent, "skipped": uploaded.skipped, **proof}


def _record_done(context: ImportContext, disk: DiskRecord, uploaded: Uploaded, proof: dict[str, Any]) -> None:
    """From here on the disk is never read again."""
    context.store.disk(
        context.job_id,
        disk.key,
        state=StageState.DONE.value,
        sha256=proof["sha256"],
        verified=proof["verified"],
        checksum=uploaded.checksum,
        parts_done=uploaded.parts,
    )
    judged = ", equal to the host's" if proof["verified"] else ""
    skipped = f", {uploaded.skipped:,} already there" if uploaded.skipped else ""
    context.say(
        f"{disk.label}: {uploaded.size:,} bytes in S3{skipped}; sha256 {proof['sha256']}{judged}", message=False
    )


def _lease_disk(lease: ExportLease, disk: DiskRecord) -> LeaseDisk:
    for candidate in lease.disks:
        if candidate.device_key == disk.key:
            return candidate
    raise ServiceError(
        ErrorKind.CONFLICT,
        "the host does not offer this disk for export",
        subject=disk.label,
        remedy="An independent or raw disk is left out of a snapshot: power the VM off, or leave the disk out",
    )
