"""RAW is what is left when bytes and name are nothing else: everything known is named and refused, wherever it lies."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.disk_containers import Memory, ova, vmdk_stream
from tests.kits.disk_images import Sparse, content
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.convert_source import open_every
from vmie_tui.services.disks.formats.open_disk import open_disk, open_disks
from vmie_tui.services.disks.formats.probe import probe
from vmie_tui.services.disks.formats.unsupported_files import ForeignError, check_raw

MIB = 1 << 20


def table(*starts: int, kind: int = 0x83, size: int = MIB, at: int = 0, mark: bytes = b"") -> bytes:
    """A disk with an MBR of partitions that begin at these sectors, and ``mark`` at byte ``at``."""
    disk = bytearray(content(7, size))
    disk[446:512] = bytes(64) + b"\x55\xaa"
    for number, start in enumerate(starts):
        struct.pack_into("<B3sB3sII", disk, 446 + 16 * number, 0, bytes(3), kind, bytes(3), start, 100)
    disk[at : at + len(mark)] = mark
    return bytes(disk)


def gpt(start: int) -> bytes:
    disk = bytearray(table(1, kind=0xEE, at=0x8000, mark=b"\x01CD001"))
    disk[512:1024] = b"EFI PART".ljust(512, b"\0")
    disk[1024 : 1024 + 128 * 128] = bytes(128 * 128)
    disk[1024:1040] = b"\1" * 16
    struct.pack_into("<QQ", disk, 1056, start, start + 10)
    return bytes(disk)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("disk.raw", content(1, 5000))
    return out.getvalue()


PLAIN = table(2048)
XML = '<?xml version="1.0"?>\n<domain type="kvm"><name>a machine</name></domain>\n'
FOREIGN = {
    "gzip": (gzip.compress(PLAIN), "is compressed (gzip)"),
    "xz": (lzma.compress(PLAIN), "is compressed (xz)"),
    "lzma": (lzma.compress(PLAIN, lzma.FORMAT_ALONE), "is compressed (lzma)"),
    "bzip2": (bz2.compress(PLAIN), "is compressed (bzip2)"),
    "bzip2 of nothing": (bz2.compress(b""), "is compressed (bzip2)"),
    "zstd": (b"\x28\xb5\x2f\xfd" + content(1, 900), "is compressed (zstd)"),
    "zstd after a frame to skip": (b"\x50\x2a\x4d\x18" + content(1, 900), "is compressed (zstd or lz4)"),
    "lz4": (b"\x04\x22\x4d\x18" + content(1, 900), "is compressed (lz4)"),
    "zip": (zipped(), "is a ZIP archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + content(1, 900), "is a 7-Zip archive"),
    "rar": (b"Rar!\x1a\x07\x01\0" + content(1, 900), "is a RAR archive"),
    "XML": (XML.encode(), "is a text file"),
    "XML in UTF-16": (XML.encode("utf-16"), "is a text file"),
    "XML in UTF-16, big-endian": (b"\xfe\xff" + XML.encode("utf-16-be"), "is a text file"),
    "XML in UTF-16 without a mark": (XML.encode("utf-16-le"), "is a text file"),
    "text": (b"Dear diary, today I migrated a machine.\r\n", "is a text file"),
    "AppleDouble": (b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(139), "is an AppleDouble file"),
    "ELF": (b"\x7fELF\2\1\1" + bytes(5000), "is a program (ELF)"),
    "Parallels": (b"WithoutFreeSpace" + bytes(5000), "is a Parallels image"),
    "Parallels, extended": (b"WithouFreSpacExt" + bytes(5000), "is a Parallels image"),
    "QED": (b"QED\0" + bytes(5000), "is a QED image"),
    "QCOW 1": (b"QFI\xfb\0\0\0\1" + bytes(5000), "is a QCOW image of version 1"),
    "DMG": (content(1, 8192) + b"koly".ljust(512, b"\0"), "is a macOS disk image (DMG)"),
    "encrypted DMG": (b"encrcdsa" + bytes(5000), "is an encrypted macOS image"),
    "cloop": (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount" + bytes(900), "is a compressed loop image"),
    "Bochs": (b"Bochs Virtual HD Image\0" + bytes(900), "is a Bochs image"),
    "E01": (b"EVF\t\r\n\xff\0" + bytes(900), "is an EnCase image (E01)"),
    "Ex01": (b"EVF2\r\n\x81\0" + bytes(900), "is an EnCase image (Ex01)"),
    "sparseimage": (b"sprs" + bytes(5000), "is a macOS sparse image"),
    "LUKS": (b"LUKS\xba\xbe\0\2" + bytes(5000), "is encrypted (LUKS)"),
    "WIM": (b"MSWIM\0\0\0" + bytes(5000), "is a Windows image (WIM)"),
    "VMware snapshot's memory": (b"\xd2\xbe\xd2\xbe" + bytes(5000), "is the state of a VMware VM"),
    "ISO": (bytes(0x8000) + b"\x01CD001" + bytes(MIB), "is a CD or DVD (ISO 9660)"),
    "hybrid ISO": (table(0, at=0x8000, mark=b"\x01CD001"), "is a CD or DVD (ISO 9660)"),
    "hybrid ISO, from sector 64": (table(64, 30_000, at=0x8000, mark=b"\x01CD001"), "is a CD or DVD (ISO 9660)"),
    "hybrid ISO with GPT": (gpt(64), "is a CD or DVD (ISO 9660)"),
    "UDF": (bytes(0x8000) + b"\0BEA01" + bytes(MIB), "is a CD or DVD (UDF)"),
    "raw CD": (b"\0" + b"\xff" * 10 + b"\0" + bytes(5000), "is a CD or DVD (raw sectors)"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_named_and_refused_wherever_it_lies(kind: str, tmp_path: Path) -> None:
    image, words = FOREIGN[kind]
    path = tmp_path / "disk.img"
    path.write_bytes(image)
    archive = Memory(ova({"vm.ovf": b"<Envelope/>", "disk1.vmdk": vmdk_stream(Sparse(MIB)), "disk2.img": image}))
    refused = []
    for look in (
        lambda: open_disk(path),
        lambda: open_disk(Memory(image), name="s3://bucket/images/disk.raw"),
        lambda: open_disks(archive, name="vm.ova"),
        lambda: open_every(path, ExitStack(), raw=False, beside=path, progress=lambda done, total: None),
    ):
        with pytest.raises(ServiceError) as caught:
            look()
        refused.append(caught.value)
    for error in refused:
        assert words in error.problem.what
        assert error.kind is ErrorKind.INVALID
        assert error.problem.remedy
        assert error.problem.subject
    assert "--raw-source" in refused[-1].problem.remedy  # a file can still be taken as it is
    with ExitStack() as held:
        (opened,) = open_every(path, held, raw=True, beside=path, progress=lambda done, total: None)
        assert opened.source.size == len(image)


RAW = {
    "a partition table": PLAIN,
    "zeros": bytes(MIB),
    "the signature of an ISO left in front of a partition": table(2048, at=0x8000, mark=b"\x01CD001"),
    "the same before a GPT's partition": gpt(2048),
    "two bytes of gzip": b"\x1f\x8b\0" + content(3, 5000),
    "BZh": b"BZhello" + content(3, 5000),
    "a boot sector that speaks": b"\xeb\x63" + b"GRUB boot code ".ljust(508, b" ") + b"\x55\xaa" + content(3, 5000),
    "ext4": bytes(1080) + b"\x53\xef" + content(3, 90_000),
    "XFS": b"XFSB" + content(3, 90_000),
    "LVM": bytes(512) + b"LABELONE" + content(3, 90_000),
    "three bytes": b"KDM",
    "erased flash memory": b"\xff" * 90_000,
}


@pytest.mark.parametrize("kind", RAW)
def test_what_stays_a_raw_disk(kind: str) -> None:
    assert probe(Memory(RAW[kind]).read_at, len(RAW[kind]), "disk.raw").format == "raw"


@pytest.mark.parametrize(
    "name",
    ["a", "a.raw", "a.img", "a.bin", "a.dd", "a.001", "vm-flat.vmdk", "VM-FLAT.VMDK", "web.2024", "a.vmdk/b.raw", ""],
)
def test_names_that_promise_nothing_else(name: str) -> None:
    check_raw(Memory(PLAIN).read_at, len(PLAIN), name)
    with open_disk(Memory(PLAIN), name=name) as disk:
        assert (disk.info.format, disk.size) == ("raw", len(PLAIN))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.vmdk", "it is named .vmdk, but is none"),
        ("X.VMDK", "it is named .vmdk, but is none"),
        ("s3://bucket/a/x.vhdx", "it is named .vhdx, but is none"),
        ("x.img.xz", "it is named .xz, but is none"),
        ("x.raw.gz", "it is named .gz, but is none"),
        ("x.qcow2", "it is named .qcow2, but is none"),
        ("x.ova", "it is named .ova, but is none"),
        ("x.iso", "it is named .iso, but is none"),
        ("vm-s001.vmdk", "one extent of a VMDK"),
        ("vm-f001.vmdk", "one extent of a VMDK"),
        ("vm-ctk.vmdk", "list of changed blocks"),
        ("vm.vmem", "it is named .vmem"),
        ("vm.nvram", "it is named .nvram"),
    ],
)
def test_names_that_promise_another_format(name: str, words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        probe(Memory(PLAIN).read_at, len(PLAIN), name)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=2000), st.text(max_size=30))
def test_any_bytes_and_name_are_judged(image: bytes, name: str) -> None:
    try:
        check_raw(Memory(image).read_at, len(image), name)
    except ForeignError as error:
        assert error.kind is ErrorKind.INVALID
    except ServiceError as error:
        assert "one extent" in str(error) or "but is none" in str(error)
