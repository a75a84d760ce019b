"""Each kind of image is recognised by its header, and a damaged header is said to be one."""

from __future__ import annotations

import io
import struct
import tarfile
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.disk_images import Sparse, content, patched, stream_of
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.ova import OvaMember, list_members
from vmie_tui.services.disks.formats.probe import DiskInfo, probe
from vmie_tui.services.disks.formats.vmdk_layout import SECTOR, SparseHeader, make_descriptor

STREAM = stream_of(Sparse(1 << 20, {0: content(1, 65536)}))
CAPACITY = 3 << 30


def probed(data: bytes) -> DiskInfo:
    return probe(Sparse(len(data), {0: data}).read_at, len(data))


def vhd(kind: int) -> bytes:
    """A footer, in front of it (for a differencing disk) the header that names the parent."""
    footer = bytearray(struct.pack(">8sIIQ", b"conectix", 2, 0x10000, 512).ljust(SECTOR, b"\0"))
    struct.pack_into(">Q4xI", footer, 48, CAPACITY, kind)
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    header = b"cxsparse".ljust(64, b"\0") + "base.vhd".encode("utf-16-be").ljust(960, b"\0")
    return bytes(footer) + header + bytes(footer)


def vhdx(flags: int) -> bytes:
    image = bytearray(3 << 20)
    image[:8] = b"vhdxfile"
    metadata = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
    struct.pack_into("<4sIIxxxx16sQII", image, 192 << 10, b"regi", 0, 1, metadata, 1 << 20, 1 << 20, 1)
    struct.pack_into("<8sHH", image, 1 << 20, b"metadata", 0, 2)
    items = (
        ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", struct.pack("<II", 32 << 20, flags)),
        ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", struct.pack("<Q", CAPACITY)),
    )
    for number, (ident, value) in enumerate(items):
        offset = 65536 + 8 * number
        struct.pack_into("<16sII", image, (1 << 20) + 32 + 32 * number, uuid.UUID(ident).bytes_le, offset, 8)
        image[(1 << 20) + offset : (1 << 20) + offset + 8] = value
    return bytes(image)


def qcow2(backing: bytes = b"") -> bytes:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 600 if backing else 0, len(backing), 16, CAPACITY)
    return head.ljust(600, b"\0") + backing.ljust(424, b"\0")


def vdi(kind: int) -> bytes:
    image = bytearray(1024)
    image[:64] = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0")
    struct.pack_into("<IIII", image, 64, 0xBEDA107F, 0x10001, 400, kind)
    struct.pack_into("<Q", image, 0x170, CAPACITY)
    image[0x1A8:0x1B8] = uuid.UUID(int=7).bytes_le
    return bytes(image)


def sparse_vmdk(flags: int, parent: str = "ffffffff") -> bytes:
    text = make_descriptor(CAPACITY // SECTOR, "x").replace(b"streamOptimized", b"monolithicSparse")
    text = text.replace(b"parentCID=ffffffff", b"parentCID=" + parent.encode())
    return (SparseHeader(CAPACITY // SECTOR, flags, 1, compression=0).pack() + text).ljust(65536, b"\0")


DESCRIPTOR = b"""# Disk DescriptorFile
version=1
parentCID=ffffffff
createType="vmfs"
RW 6291450 VMFS "db-flat.vmdk"
RW 6 VMFS "db-2.vmdk"
"""

KINDS = {
    "stream": (STREAM, DiskInfo("vmdk-stream", 1 << 20, "streamOptimized", compressed=True)),
    "sparse": (sparse_vmdk(1), DiskInfo("vmdk-sparse", CAPACITY, "monolithicSparse")),
    "delta": (sparse_vmdk(1, "12ab34cd"), DiskInfo("vmdk-sparse", CAPACITY, "monolithicSparse", parent="12ab34cd")),
    "compressed without markers": (
        sparse_vmdk(0x10001),
        DiskInfo("vmdk-sparse", CAPACITY, "monolithicSparse", compressed=True),
    ),
    "descriptor": (DESCRIPTOR, DiskInfo("vmdk-descriptor", CAPACITY, "vmfs", files=("db-flat.vmdk", "db-2.vmdk"))),
    "vmfs sparse": (
        struct.pack("<4sIII", b"COWD", 1, 3, CAPACITY // SECTOR).ljust(2048, b"\0"),
        DiskInfo("vmdk-sparse", CAPACITY, "vmfsSparse"),
    ),
    "sesparse": (
        struct.pack("<QQQ", 0xCAFEBABE, 0x200000001, CAPACITY // SECTOR).ljust(2048, b"\0"),
        DiskInfo("vmdk-sparse", CAPACITY, "seSparse"),
    ),
    "fixed vhd": (bytes(4096) + vhd(2)[-SECTOR:], DiskInfo("vhd", CAPACITY, "fixed")),
    "dynamic vhd": (vhd(3), DiskInfo("vhd", CAPACITY, "dynamic")),
    "differencing vhd": (vhd(4), DiskInfo("vhd", CAPACITY, "differencing", parent="base.vhd")),
    "vhdx": (vhdx(0), DiskInfo("vhdx", CAPACITY, "dynamic")),
    "fixed vhdx": (vhdx(1), DiskInfo("vhdx", CAPACITY, "fixed")),
    "differencing vhdx": (vhdx(2), DiskInfo("vhdx", CAPACITY, "differencing", parent="unknown")),
    "qcow2": (qcow2(), DiskInfo("qcow2", CAPACITY)),
    "qcow2 overlay": (qcow2(b"base.qcow2"), DiskInfo("qcow2", CAPACITY, parent="base.qcow2")),
    "vdi": (vdi(1), DiskInfo("vdi", CAPACITY, "dynamic")),
    "differencing vdi": (vdi(4), DiskInfo("vdi", CAPACITY, "differencing", parent=str(uuid.UUID(int=7)))),
    "raw": (content(3, 5000), DiskInfo("raw", 5000)),
    "short raw": (b"KDM", DiskInfo("raw", 3)),
    "empty": (b"", DiskInfo("raw", 0)),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    image, expected = KINDS[name]
    assert probed(image) == expected


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (patched(STREAM, 12, "<Q", 1 << 60), "sectors"),
        (vhd(3)[:-SECTOR], "no footer at its end"),
        (patched(vhd(3), len(vhd(3)) - 100, "B", 1), "checksum"),
        (vhdx(0)[: 1 << 20], "not received whole"),
        (patched(vhdx(0), 192 << 10, "<I", 0), "damaged"),
        (patched(vhdx(0), (192 << 10) + 16, "<Q", 0), "no metadata region"),
        (patched(vhdx(0), (192 << 10) + 32, "<Q", 1 << 60), "not received whole"),
        (patched(vhdx(0), (1 << 20) + 32 + 16, "<I", 0xFFFFFFFF), "incomplete"),
    ],
)
def test_damaged_headers_are_refused(image: bytes, words: str) -> None:
    with pytest.raises(DiskFormatError, match=words):
        probed(image)


def archive(members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LONG = "a-name-of-more-than-a-hundred-letters-" * 4 + ".vmdk"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_ova_members(form: int) -> None:
    files = {"web.ovf": b"<Envelope/>", "web.mf": b"", "disk.vmdk.000000000": STREAM}
    if form != tarfile.USTAR_FORMAT:
        files[LONG] = content(4, 1000)
    image = archive(files, form)
    info = probed(image)
    assert info.format == "ova"
    assert info.ovf_first
    assert {member.name: image[member.offset : member.offset + member.size] for member in info.members} == files
    assert [member.name for member in info.members if member.chunk] == ["disk.vmdk.000000000"]


def test_ova_members_larger_than_octal_can_say() -> None:
    size = (8 << 30) + 3
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        info = tarfile.TarInfo("disk.vmdk")
        info.size = size
        head = info.tobuf(form)
        total = len(head) + -(-size // 512) * 512
        assert list_members(Sparse(total, {0: head}).read_at, total) == (OvaMember("disk.vmdk", len(head), size),)


def test_ova_without_its_descriptor_first_is_told_apart() -> None:
    assert not probed(archive({"disk.vmdk": STREAM, "web.ovf": b"<Envelope/>"})).ovf_first


def test_cut_and_damaged_archives_are_refused() -> None:
    image = archive({"web.ovf": b"<Envelope/>", "disk.vmdk": STREAM})
    with pytest.raises(DiskFormatError, match=r"disk\.vmdk ends at") as caught:
        probed(image[: len(image) // 2])
    assert caught.value.problem.retry_safe
    with pytest.raises(DiskFormatError, match="no valid header at byte 1024"):
        probed(patched(image, 1030, "B", 1))
    negative = tarfile.TarInfo("x.ovf").tobuf(tarfile.GNU_FORMAT)
    negative = patched(negative, 124, "12s", b"-0000000010\0")
    negative = patched(negative, 148, "8s", b"%06o\0 " % (sum(negative[:148]) + sum(negative[156:512]) + 256))
    with pytest.raises(DiskFormatError, match=r"gives x\.ovf a size that is none"):
        probed(negative + bytes(1024))


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([image for image, _ in KINDS.values() if len(image) > 600]), st.data())
def test_no_header_crashes_the_probe(image: bytes, data: st.DataObject) -> None:
    for _ in range(4):
        place = data.draw(st.one_of(st.integers(0, 599), st.integers(0, len(image) - 8)))
        image = patched(image, place, "<Q", data.draw(st.sampled_from([0, 1, 0xFFFFFFFF, 2**63, 2**64 - 1])))
    try:
        info = probed(image)
    except DiskFormatError:
        return
    assert info.format


def test_probe_reads_little(tmp_path: Path) -> None:
    read = 0

    def read_at(offset: int, length: int) -> bytes:
        nonlocal read
        read += length
        return STREAM[offset : offset + length]

    probe(read_at, len(STREAM))
    assert read <= 32 << 10
