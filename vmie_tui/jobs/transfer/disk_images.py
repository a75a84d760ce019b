"""The images of files, objects and snapshots: opened for a transfer, and told apart from what they were before."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vmie_tui.close_on_exit import Closing
from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import FileSource, ObjectSource, UploadFormat
from vmie_tui.private_files import private_dir
from vmie_tui.services.disks.convert_source import is_plain_archive, probe_file, source_files
from vmie_tui.services.disks.feeds.disk_feed import Feed
from vmie_tui.services.disks.formats.open_disk import open_file
from vmie_tui.services.disks.streams.source import ByteReader, DiskSource, read_into
from vmie_tui.services.image_sources import SourceDisk, open_source_disks
from vmie_tui.services.transfer_control import DiskControl

STEP = 1 << 20  # bytes read from an image at once
SCRATCH = "scratch"  # in the state folder: RAW copies of images that only qemu-img reads
AS_IT_IS = {  # kinds of image, as `probe` calls them, that are what a format asks for
    UploadFormat.VMDK: frozenset({"vmdk-stream streamOptimized"}),
    UploadFormat.VHD: frozenset({"vhd fixed", "vhd dynamic"}),
    UploadFormat.RAW: frozenset({"raw"}),
}


@dataclass(frozen=True, slots=True)
class OpenedDisk:
    """One disk of the source. ``plain``: the image as it lies there, when the disk is all there is in it."""

    disk: DiskSource
    kind: str
    plain: ByteReader | None

    def as_it_is(self, wanted: UploadFormat) -> bool:
        """Whether the image can be uploaded without being written anew."""
        return self.plain is not None and self.kind in AS_IT_IS.get(wanted, ())


def open_images(context: ImportContext, held: ExitStack) -> dict[int, OpenedDisk]:
    """The source's disks by their keys in the job, open until ``held`` closes. Raises ServiceError."""
    source, ledger = context.plan.source, context.ledger
    scratch = private_dir(context.settings.state_dir / SCRATCH)
    told = ""

    def progress(done: int, total: int) -> None:
        nonlocal told
        context.control.check()
        share = f"qemu-img reads the image: {100 * done // max(total, 1)} %"
        words = share if done else "reading the image, to compare it with its manifest or for qemu-img"
        if words != told:
            context.update(message=words)
            told = words

    aws = None if isinstance(source, FileSource) else context.aws
    state = ledger.source_state
    found = held.enter_context(
        open_source_disks(
            source,
            aws,
            context.plan.region,
            scratch=scratch,
            progress=progress,
            proven=bool(state) and ledger.proven_state == state,
        )
    )
    context.remember(proven_state=state)  # an attempt after this one need not read all of it for the manifest
    records = context.disks()
    return {
        record.key: OpenedDisk(one.source, _kind(one), _plain(context, number, one, held))
        for number, (record, one) in enumerate(zip(records, found, strict=False))
    }


def clear_scratch(state_dir: Path) -> None:
    """Remove what a killed worker left; for the one worker of the folder, before it begins."""
    for left in (state_dir / SCRATCH).glob(".*.raw"):
        left.unlink(missing_ok=True)


def _kind(disk: SourceDisk) -> str:
    return f"{disk.info.format} {disk.info.create_type}".strip()


def _plain(context: ImportContext, number: int, disk: SourceDisk, held: ExitStack) -> ByteReader | None:
    """The file itself, when it is one image of one disk and no archive or descriptor."""
    source = context.plan.source
    if not isinstance(source, FileSource) or number >= len(source.paths):
        return None
    path = Path(source.paths[number])
    if path.name != disk.name or not (source.raw or probe_file(path).format == disk.info.format):
        return None
    return held.enter_context(open_file(path))


def whole_archive(context: ImportContext, held: ExitStack) -> ByteReader | None:
    """The OVA that the source is, as it lies there; None when it is none, or one that AWS may not understand."""
    source = context.plan.source
    if not isinstance(source, FileSource) or source.raw or len(source.paths) != 1:
        return None
    path = Path(source.paths[0])
    if path.suffix.lower() == ".ovf":
        return None
    return held.enter_context(open_file(path)) if is_plain_archive(path) else None


def fingerprint(context: ImportContext) -> str:
    """Tells one state of the source from the next: size and time of files, ETags of objects. Raises ServiceError."""
    source = context.plan.source
    seen: list[object] = [source.where]
    if isinstance(source, FileSource):
        for path in (part for each in source.paths for part in source_files(Path(each))):
            try:
                status = path.stat()
            except OSError as error:
                raise ServiceError(
                    ErrorKind.NOT_FOUND,
                    "the file cannot be looked at",
                    subject=str(path),
                    remedy="Put it back, then resume the job",
                    detail=error.strerror or "",
                ) from error
            seen.append((path.name, status.st_size, status.st_mtime_ns))
    elif isinstance(source, ObjectSource):
        for key in source.keys:
            found = context.objects.head(source.bucket, key)
            if found is None:
                raise ServiceError(
                    ErrorKind.NOT_FOUND,
                    "the object does not exist",
                    subject=f"s3://{source.bucket}/{key}",
                    remedy="Check its key",
                )
            seen.append((key, found.size, found.etag))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def refuse_changed(context: ImportContext) -> None:
    """Raises ServiceError CONFLICT when the source is no longer what was checked."""
    if fingerprint(context) != context.ledger.source_state:
        raise ServiceError(
            ErrorKind.CONFLICT,
            "the source was changed while the job ran",
            subject=context.plan.source.where,
            remedy="Let nothing write to it, then resume the job: every disk is read again",
        )


class PlainFeed(Closing):
    """The bytes of an image as they are."""

    def __init__(self, reader: ByteReader, control: DiskControl) -> None:
        self.sha256, self.size = "", 0
        self._reader, self._control, self._hash = reader, control, hashlib.sha256()

    def fill(self, view: memoryview) -> int:
        """Bytes written into ``view``, 0 at the end."""
        self._control.check()
        if self.size >= self._reader.size:
            self.sha256 = self._hash.hexdigest()
            return 0
        count = read_into(self._reader, self.size, view[:STEP])
        if not count:
            raise ServiceError(ErrorKind.CORRUPT, "the image ends before its end", retry_safe=True)
        self._hash.update(view[:count])
        self.size += count
        self._control.moved(count)
        return count

    def close(self) -> None:
        """Nothing of its own is open."""


class WatchedFeed(Closing):
    """A feed that tells how much it gave."""

    def __init__(self, inner: Feed, control: DiskControl) -> None:
        self._inner, self._control = inner, control
        self.sha256, self.size = "", 0

    def fill(self, view: memoryview) -> int:
        self._control.check()
        count = self._inner.fill(view)
        if count:
            self._control.moved(count)
        else:
            self.sha256 = self._inner.sha256
        self.size += count
        return count

    def close(self) -> None:
        self._inner.close()
