"""A machine in vCenter as the source of a job: each disk is a stream from the ESXi host, read front to back."""

from __future__ import annotations

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.export_lease import LeaseHolder
from vmie_tui.jobs.transfer.source import ROOM, TRANSFERS, ClosingFeed, Put, Received
from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.disks.feeds import disk_feed as feeds
from vmie_tui.services.disks.feeds.disk_feed import DiskFeed, Feed, decoded_size
from vmie_tui.services.disks.streams.proof_samples import Sampler
from vmie_tui.services.transfer_control import DiskControl
from vmie_tui.services.vsphere.nfc.disk_download import DiskStream
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease, LeaseDisk


class LeaseAttempt:
    """The disks of a machine as its export lease offers them."""

    def __init__(self, holder: LeaseHolder, lease: ExportLease) -> None:
        self._holder, self.lease = holder, lease
        self._found: dict[int, Received] = {}

    def check(self) -> None:
        self._holder.check()
        self.lease.check()

    def tell(self, share: float) -> None:
        self.lease.progress(share)

    def lost(self) -> bool:
        try:
            self.lease.check()
        except VmieError:
            return True
        return False

    def drop(self, reason: str) -> None:
        self._holder.drop(self.lease, reason)

    def whole(self) -> None:
        """A host hands out disks only."""

    def size_hint(self, disk: DiskRecord, wanted: UploadFormat) -> int:
        if wanted is not UploadFormat.VMDK:
            return decoded_size(wanted, disk.capacity)
        return self._of(disk).file_size or disk.capacity + disk.capacity // 50 + ROOM

    def feed(self, disk: DiskRecord, wanted: UploadFormat, control: DiskControl, sampler: Sampler) -> Feed:
        stream, known = self._open(disk, control)

        def at_end(sha256: str, size: int) -> None:
            self._prove(disk, sha256)

        covered = None if known else control.covered
        try:
            if wanted is UploadFormat.VMDK:
                inner: Feed = DiskFeed(
                    stream,
                    check=control.check,
                    on_bytes=control.moved,
                    at_end=at_end,
                    on_offset=covered,
                    on_data=sampler.take,
                )
            else:
                inner = feeds.decoded(
                    stream,
                    wanted,
                    disk.capacity,
                    check=control.check,
                    on_bytes=control.moved,
                    at_end=at_end,
                    on_offset=covered,
                    on_data=sampler.take,
                )
        except BaseException:
            stream.close()
            raise
        return ClosingFeed(inner, stream.close)

    def blocks(self, disk: DiskRecord, target: Put, control: DiskControl, sampler: Sampler) -> None:
        stream, known = self._open(disk, control)
        with stream:
            feeds.blocks(
                stream,
                disk.capacity,
                target.put,
                check=control.check,
                on_bytes=control.moved,
                at_end=lambda sha256, _size: self._prove(disk, sha256),
                on_offset=None if known else control.covered,
                on_data=sampler.take,
            )

    def sample(self, disk: DiskRecord, sampler: Sampler) -> None:
        """A host's stream is sampled as it passes."""

    def found(self, key: int) -> Received:
        return self._found.get(key, Received())

    def _of(self, disk: DiskRecord) -> LeaseDisk:
        for candidate in self.lease.disks:
            if candidate.device_key == disk.key:
                return candidate
        raise ServiceError(
            ErrorKind.CONFLICT,
            "the host does not offer this disk for export",
            subject=disk.label,
            remedy="An independent or raw disk is left out of a snapshot: power the VM off, or leave the disk out",
        )

    def _open(self, disk: DiskRecord, control: DiskControl) -> tuple[DiskStream, bool]:
        """The stream, and whether it is known how long it will be."""
        source = self._of(disk)
        stream = self.lease.open(source)
        total = stream.content_length or source.file_size or 0
        control.begin(total)
        self._holder.context.say(f"{disk.label}: reading from {stream.host}", message=False)
        return stream, bool(total)

    def _prove(self, disk: DiskRecord, sha256: str) -> None:
        """What came is what the host sent, if it says what that is (trap 7)."""
        expected = self._holder.checksum(self.lease, self._of(disk).key)
        if expected is not None and expected.lower() != sha256:
            raise ServiceError(
                ErrorKind.CORRUPT,
                "the bytes received are not those the host sent: its SHA-256 differs",
                subject=disk.label,
                retry_safe=True,
                detail=f"host {expected}, received {sha256}",
            )
        self._found[disk.key] = Received(sha256, (expected or "").lower())


class LeaseSource:
    """A machine, or a snapshot of one, by one export lease for all its disks."""

    def __init__(self, context: ImportContext, moid: str, snapshot_moid: str | None) -> None:
        self.holder = LeaseHolder(context, moid, snapshot_moid)
        TRANSFERS.enter()

    def begin(self) -> LeaseAttempt:
        return LeaseAttempt(self.holder, self.holder.get())

    def check(self) -> None:
        self.holder.check()

    def close(self) -> None:
        self.holder.close()

    def complete(self) -> None:
        self.holder.complete()

    def forget(self) -> None:
        self.holder.forget()
        TRANSFERS.leave()
