"""An export's data: the parts of an S3 object that a format writer fills from a disk."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from vmie_tui.services.disks.formats.ova_write import write_ova
from vmie_tui.services.disks.formats.ovf_write import Hardware
from vmie_tui.services.disks.formats.vhd_write import write_vhd_dynamic
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.output import Output
from vmie_tui.services.disks.streams.pieces import Content, write_raw
from vmie_tui.simulators.aws import s3_checksums
from vmie_tui.simulators.aws.s3_store import Part, Store, Stored, Upload
from vmie_tui.simulators.aws.stored_disk import StoredDisk

PART, MOST_PARTS = 64 << 20, 9000
_READ = 1 << 20
_ESP = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")  # the partition type of EFI system partitions, as on disk
_SECTOR = 512


def hybrid_boot(disk: StoredDisk) -> bool:
    """Whether GRUB would start it by BIOS and by UEFI both: a boot sector, and a GPT with an EFI system partition."""
    head = disk.read_at(0, 34 * _SECTOR)
    if b"GRUB" not in head[:440] or head[_SECTOR : _SECTOR + 8] != b"EFI PART":
        return False
    table = head[2 * _SECTOR :]
    return any(table[at : at + 16] == _ESP for at in range(0, len(table), 128))


class PartsOutput(Output):
    """The parts of an unfinished upload as one file that may be written anywhere; holes take no room."""

    def __init__(self, folder: Path, room: int) -> None:
        # the base class's initialiser is left out on purpose: it makes one file
        self.folder, self.end, self.size = folder, 0, 0
        self.part_size = max(PART, -(-room // MOST_PARTS // (1 << 20)) * (1 << 20))
        self._open: tuple[int, int] | None = None  # (number, descriptor)

    def path_of(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}"

    def _descriptor(self, number: int) -> int:
        if self._open and self._open[0] == number:
            return self._open[1]
        self.close()
        self._open = (number, os.open(self.path_of(number), os.O_RDWR | os.O_CREAT, 0o600))
        return self._open[1]

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        view, done = memoryview(data), 0
        while done < len(view):
            number, within = divmod(offset + done, self.part_size)
            step = min(len(view) - done, self.part_size - within)
            done += os.pwrite(self._descriptor(number + 1), view[done : done + step], within)
        self.size = max(self.size, offset + len(view))

    def resize(self, size: int) -> None:
        self.size = size

    def close(self) -> None:
        if self._open:
            os.close(self._open[1])
            self._open = None

    def parts(self, modified: float) -> tuple[Part, ...]:
        """Every part, each as long as it must be and with its checksum."""
        found: list[Part] = []
        empty = ""  # the checksum of a full part of zeros
        for number in range(1, -(-self.size // self.part_size) + 1):
            length = min(self.part_size, self.size - (number - 1) * self.part_size)
            descriptor = self._descriptor(number)
            os.ftruncate(descriptor, length)
            hole = length == self.part_size and os.fstat(descriptor).st_blocks == 0
            text = empty if hole and empty else _crc(descriptor, length)
            if hole:
                empty = text
            found.append(Part(number, length, uuid.uuid4().hex, modified, {s3_checksums.DEFAULT: text}))
        self.close()
        return tuple(found)


def _crc(descriptor: int, length: int) -> str:
    running, at = s3_checksums.Running(s3_checksums.DEFAULT), 0
    while at < length:
        piece = os.pread(descriptor, min(_READ, length - at), at)
        running.update(piece)
        at += len(piece)
    return running.text


class ExportedObject:
    """One object on its way into a bucket: an unfinished upload until `complete`, nothing after `discard`."""

    def __init__(self, store: Store, bucket: str, key: str, now: float) -> None:
        headers = {"Content-Type": "binary/octet-stream", "x-amz-server-side-encryption": "AES256"}
        self._store, self._bucket = store, bucket
        self._upload = Upload(uuid.uuid4().hex, key, now, s3_checksums.DEFAULT, "FULL_OBJECT", headers)
        self._parts: tuple[Part, ...] = ()
        store.create_upload(bucket, self._upload)

    def write(self, disk: StoredDisk, extension: str, name: str, hardware: Hardware, now: float) -> None:
        """Fill it with ``disk`` in the format the extension names (vmdk, vhd, raw, ova); raises `Stopped`."""
        out = PartsOutput(self._store.upload_folder(self._bucket, self._upload.id), disk.size)
        try:
            match extension:
                case "vmdk":
                    encode(disk, out.write, name=f"{name}.vmdk")
                case "vhd":
                    write_vhd_dynamic(disk, out, Content(wanted=False))
                case "raw":
                    write_raw(disk, out, Content(wanted=False))
                case _:
                    write_ova(disk, out, name=name, mode="fast", hardware=hardware)
            self._parts = out.parts(now)
        finally:
            out.close()

    def complete(self, now: float) -> None:
        """Completes the upload; raises OSError if somebody else aborted it."""
        kind = s3_checksums.DEFAULT
        crc = s3_checksums.combine(kind, [(part.checksums[kind], part.size) for part in self._parts])
        size = sum(part.size for part in self._parts)
        etag = f"{uuid.uuid4().hex}-{len(self._parts)}"
        upload = self._upload
        stored = Stored(
            upload.key, size, etag, now, self._parts, upload.headers, {kind: crc}, "FULL_OBJECT", multipart=True
        )
        self._store.complete(self._bucket, upload, stored)

    def discard(self) -> None:
        """Removes it without a trace."""
        with contextlib.suppress(OSError):
            self._store.abort(self._bucket, self._upload.id)
