"""Images that can be read at any place as the source of a job: files of this machine, objects in S3, EBS snapshots."""

from __future__ import annotations

from contextlib import ExitStack

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.choose_samples import sample_disk, seed_of
from vmie_tui.jobs.transfer.disk_images import (
    STEP,
    OpenedDisk,
    PlainFeed,
    WatchedFeed,
    open_images,
    refuse_changed,
    whole_archive,
)
from vmie_tui.jobs.transfer.source import TRANSFERS, Put, Received
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.disks.feeds import disk_feed as feeds
from vmie_tui.services.disks.feeds.disk_feed import Feed, stored_size
from vmie_tui.services.disks.streams.proof_samples import Sampler
from vmie_tui.services.disks.streams.source import ByteReader
from vmie_tui.services.transfer_control import DiskControl


class ImageSource:
    """Images that are open for one transfer phase. There is nothing to lose, so the source is its own attempt."""

    def __init__(self, context: ImportContext) -> None:
        self._context = context
        self._held = ExitStack()
        self._closed = False
        self._disks: dict[int, OpenedDisk] = {}
        self._found: dict[int, Received] = {}
        TRANSFERS.enter()

    def open(self) -> None:
        """Find and open the images. Raises ServiceError, also CONFLICT for files that are not those checked before."""
        refuse_changed(self._context)
        self._disks = open_images(self._context, self._held)

    def whole(self) -> ByteReader | None:
        """The OVA that the source is, as it lies there."""
        return whole_archive(self._context, self._held)

    def __getitem__(self, key: int) -> OpenedDisk:
        try:
            return self._disks[key]
        except KeyError:
            raise ServiceError(
                ErrorKind.CONFLICT,
                f"the source has {len(self._disks)} disk(s) now",
                subject=self._context.plan.source.where,
                remedy="It was changed after the job began: submit it again",
            ) from None

    # TransferSource

    def begin(self) -> ImageSource:
        return self

    def check(self) -> None:
        self._context.control.check()
        if self._closed:
            raise Cancelled("stopped with the other disks")

    def lost(self) -> bool:
        return False

    def drop(self, reason: str) -> None:
        """Nothing is held that could be suspect."""

    def close(self) -> None:
        self._closed = True

    def complete(self) -> None:
        refuse_changed(self._context)

    def forget(self) -> None:
        self._held.close()
        TRANSFERS.leave()

    # Attempt

    def tell(self, share: float) -> None:
        """Nobody waits for it."""

    def size_hint(self, disk: DiskRecord, wanted: UploadFormat) -> int:
        opened = self[disk.key]
        if opened.plain is not None and opened.as_it_is(wanted):
            return opened.plain.size

        return stored_size(opened.disk, wanted)

    def feed(self, disk: DiskRecord, wanted: UploadFormat, control: DiskControl, sampler: Sampler) -> Feed:
        opened = self[disk.key]
        if opened.plain is not None and opened.as_it_is(wanted):
            control.begin(opened.plain.size)
            self.sample(disk, sampler)
            self._context.say(f"{disk.label}: sent as it is, {opened.kind}", message=False)
            return PlainFeed(opened.plain, control)
        control.begin(0 if wanted is UploadFormat.VMDK else feeds.stored_size(opened.disk, wanted))

        def on_data(offset: int, data: memoryview) -> None:
            sampler.take(offset, data)
            control.covered(offset + len(data))

        self._context.say(f"{disk.label}: {opened.kind} written anew as {wanted.value} on the way", message=False)
        return WatchedFeed(feeds.disk_feed(opened.disk, wanted, name=f"disk-{disk.key}", on_data=on_data), control)

    def blocks(self, disk: DiskRecord, target: Put, control: DiskControl, sampler: Sampler) -> None:
        source = self[disk.key].disk
        control.begin(sum(length for _, length in source.extents()))
        at = 0

        def on_offset(offset: int) -> None:
            nonlocal at
            control.moved(min(offset - at, STEP))
            at = offset

        feeds.blocks_of(source, target.wants, target.put, check=control.check, on_offset=on_offset)

    def sample(self, disk: DiskRecord, sampler: Sampler) -> None:
        sample_disk(self[disk.key].disk, sampler, seed_of(self._context.job_id, disk.key))

    def found(self, key: int) -> Received:
        return self._found.get(key, Received())
