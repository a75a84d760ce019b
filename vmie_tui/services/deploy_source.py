"""Disks that can be deployed to vCenter, from exported objects or files, with the hardware their OVF describes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmie_tui.model.export import ExportFormat
from vmie_tui.model.plan import FileSource, ObjectSource
from vmie_tui.services.aws.s3.range_reader import S3Object
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.disks.convert_source import no_limit
from vmie_tui.services.disks.formats.open_disk import open_file, open_raw
from vmie_tui.services.disks.formats.ovf import HEAD, MAX_OVF, Ovf, is_ovf, parse_ovf
from vmie_tui.services.disks.formats.ovf_package import open_archive
from vmie_tui.services.disks.formats.probe import probe
from vmie_tui.services.disks.sandbox.client import UnfinishedError, in_child
from vmie_tui.services.disks.streams.ranges import BlockReader
from vmie_tui.services.disks.streams.read_ahead import ReadAhead
from vmie_tui.services.disks.streams.source import ByteReader, DiskSource
from vmie_tui.services.image_sources import open_source_disks


@dataclass(frozen=True, slots=True)
class Deployable:
    """What can be put into vCenter."""

    disks: tuple[tuple[str, DiskSource], ...]  # name and content, the boot disk first
    ovf: Ovf | None = None  # None where the image says nothing of the hardware


@contextmanager
def open_deployable(
    source: FileSource | ObjectSource, aws: Aws | None = None, region: str | None = None
) -> Iterator[Deployable]:
    """Opens all disks in place, S3 objects by range requests. Closed with the context.

    An object whose ``format`` is RAW is taken as it is, whatever it looks like. Raises as `open_source_disks`.
    """
    with ExitStack() as held:
        if isinstance(source, ObjectSource) and source.format == ExportFormat.RAW:
            assert aws is not None
            yield Deployable(tuple((key, _raw(aws, region, source.bucket, key, held)) for key in source.keys))
            return
        ovf = _ovf(source, aws, region, held)
        disks = held.enter_context(open_source_disks(source, aws, region))
        yield Deployable(tuple((disk.name, disk.source) for disk in disks), ovf)


def _raw(aws: Aws, region: str | None, bucket: str, key: str, held: ExitStack) -> DiskSource:
    reader = held.enter_context(ReadAhead(S3Object(aws, bucket, key, region=region)))
    return held.enter_context(open_raw(reader, no_limit(), name=key))


def _ovf(source: FileSource | ObjectSource, aws: Aws | None, region: str | None, held: ExitStack) -> Ovf | None:
    """The descriptor, where the source is one OVA, or the OVF itself."""
    if isinstance(source, FileSource):
        if len(source.paths) > 1 or source.raw:
            return None
        reader: ByteReader = held.enter_context(open_file(Path(source.paths[0])))
    else:
        assert aws is not None
        if len(source.keys) > 1:
            return None
        reader = S3Object(aws, source.bucket, source.keys[0], region=region)
    try:
        return _described_by(reader, isinstance(source, FileSource))
    except UnfinishedError as error:
        raise error.about(source.where) from None


@in_child()
def _described_by(image: ByteReader, loose: bool) -> Ovf | None:
    """The OVF that describes ``image``: the one inside it, or a ``loose`` one beside it."""
    reader = BlockReader(image, no_limit())
    if loose and is_ovf(reader.read_at(0, HEAD)):
        return parse_ovf(reader.read_at(0, MAX_OVF + 1))
    info = probe(reader.read_at, reader.size)
    return open_archive(reader, info.members).ovf if info.format == "ova" else None
