"""Damaged tables of every container: our errors only, no more data than the file has, and never other bytes."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.disk_containers import MIB, Memory, vhd_dynamic, vhd_fixed, vhd_footer, vhdx, vmdk_sparse, vmdk_stream
from tests.kits.disk_images import Sparse, content, needs_qemu, patched
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.formats.places import Places
from vmie_tui.services.disks.formats.vhdx_read import VhdxReader, crc32c
from vmie_tui.services.disks.streams.ranges import Budget
from vmie_tui.services.disks.streams.source import read_fields, sha256_of

DISK = Sparse(9 * MIB, {0: content(1, 70_000), 3 * MIB: content(2, MIB), 9 * MIB - 5000: content(3, 5000)})
IMAGES = {
    "vmdk": vmdk_sparse(DISK),
    "vmdk-stream": vmdk_stream(DISK),
    "vpc": vhd_dynamic(DISK),
    "vpc-fixed": vhd_fixed(DISK),
    "vhdx": vhdx(DISK),
}
WHOLE = sha256_of(DISK)


def plenty() -> Budget:
    return Budget(requests=100_000, bytes=1 << 30)


def content_of(image: bytes) -> str:
    with open_disk(Memory(image), plenty(), name="disk") as disk:
        data = sum(length for _, length in disk.extents())
        if disk.info.format != "vmdk-stream":
            assert data <= len(image)
        return sha256_of(disk)


def refused(image: bytes, words: str, kind: ErrorKind = ErrorKind.CORRUPT) -> DiskFormatError:
    with pytest.raises(DiskFormatError, match=words) as caught:
        content_of(image)
    assert caught.value.kind is kind
    assert caught.value.problem.remedy
    return caught.value


# -- VHD

BAT, FIRST = 1536, 2048  # of `vhd_dynamic`: the block table, and its first block


def vhd_header(offset: int, form: str, *values: int) -> bytes:
    """The dynamic VHD with a changed header, its checksum made right."""
    image = bytearray(patched(IMAGES["vpc"], 512 + offset, form, *values))
    struct.pack_into(">I", image, 512 + 36, 0)
    struct.pack_into(">I", image, 512 + 36, ~sum(image[512:1536]) & 0xFFFFFFFF)
    return bytes(image)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: patched(IMAGES["vpc"], BAT + 4, ">I", FIRST // 512), "where another block does"),
        (lambda: patched(IMAGES["vpc"], BAT + 8, ">I", 0xFFFFFF00), "lies behind the end"),
        (lambda: patched(IMAGES["vpc"], BAT, ">I", len(IMAGES["vpc"]) // 512 - 1), "lies behind the end"),
        (lambda: patched(IMAGES["vpc"], 512 + 900, ">I", 1), "header is damaged: its checksum"),
        (lambda: vhd_header(28, ">I", 4), "does not cover its disk"),
        (lambda: vhd_header(16, ">Q", 1 << 60), "does not cover its disk"),
        (lambda: vhd_header(32, ">I", 3 << 20), "blocks of 3145728"),
        (lambda: vhd_header(28, ">I", 1 << 30), "does not cover its disk"),
        (lambda: vhd_fixed(DISK)[512:], "says 9437184 bytes of disk"),
    ],
)
def test_tables_of_a_vhd(make: Callable[[], bytes], words: str) -> None:
    refused(make(), words)


def test_a_vhd_that_claims_much_more_than_it_holds_is_refused_at_once() -> None:
    blocks = 1_000_000
    size, table = blocks * (2 << 20), -(-4 * blocks // 512)
    header = bytearray(1024)
    struct.pack_into(">8sQQIII", header, 0, b"cxsparse", 2**64 - 1, 1536, 0x10000, blocks, 2 << 20)
    struct.pack_into(">I", header, 36, ~sum(header) & 0xFFFFFFFF)
    footer = vhd_footer(size, 3, 512)
    entries = (struct.pack(">I", 3 + table) * blocks).ljust(table * 512, b"\xff")
    image = footer + bytes(header) + entries + b"\xff" * 512 + bytes(2 << 20) + footer
    with pytest.raises(DiskFormatError, match="where another block does"):
        open_disk(Memory(image))


def test_a_footer_of_511_bytes_as_virtual_pc_wrote_it() -> None:
    footer = bytearray(vhd_footer(DISK.size, 2))
    footer[28:32] = b"vpc "
    struct.pack_into(">I", footer, 64, 0)
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    image = DISK.read_at(0, DISK.size) + bytes(footer[:511])
    assert content_of(image) == WHOLE
    refused(image[512:], "says 9437184 bytes of disk")
    for length in (8, 100, 511):  # of a footer that is cut off, and no part of a RAW disk
        refused(DISK.read_at(0, DISK.size) + vhd_footer(DISK.size, 2)[:length], "footer is cut off")


# -- VHDX


def vhdx_regions(*changes: tuple[int, str, int]) -> bytes:
    """The VHDX with both region tables changed, their checksums made right."""
    image = bytearray(IMAGES["vhdx"])
    for at in (0x30000, 0x40000):
        for offset, form, value in changes:
            struct.pack_into(form, image, at + offset, value)
        image[at + 4 : at + 8] = bytes(4)
        struct.pack_into("<I", image, at + 4, crc32c(bytes(image[at : at + 65536])))
    return bytes(image)


VHDX_BAT = 3 * MIB


@pytest.mark.parametrize(
    ("make", "words", "kind"),
    [
        (lambda: vhdx_regions((32, "<Q", 64 * MIB)), "block table lies behind the end", ErrorKind.CORRUPT),
        (lambda: vhdx_regions((32, "<Q", 1 << 63)), "block table lies behind the end", ErrorKind.CORRUPT),
        (lambda: vhdx_regions((40, "<I", 8)), "does not cover its disk", ErrorKind.CORRUPT),
        (lambda: vhdx_regions((64, "<Q", 64 * MIB)), "received whole", ErrorKind.CORRUPT),
        (lambda: vhdx_regions((16, "<I", 7)), "feature that is not known", ErrorKind.INVALID),
        (lambda: vhdx_regions((8, "<I", 1)), "metadata region", ErrorKind.CORRUPT),
        (lambda: IMAGES["vhdx"][: 3 * MIB + 8], "lies behind the end", ErrorKind.CORRUPT),
        (lambda: IMAGES["vhdx"][:-MIB], "lies behind the end", ErrorKind.CORRUPT),
        (lambda: patched(IMAGES["vhdx"], VHDX_BAT + 8, "<Q", 4 * MIB | 6), "another block", ErrorKind.CORRUPT),
        (lambda: patched(IMAGES["vhdx"], VHDX_BAT, "<Q", 1 << 60 | 6), "lies behind the end", ErrorKind.CORRUPT),
        (lambda: patched(IMAGES["vhdx"], VHDX_BAT, "<Q", 0 | 6), "where its tables are", ErrorKind.CORRUPT),
        (lambda: patched(IMAGES["vhdx"], VHDX_BAT, "<Q", 2 * MIB | 6), "where its tables are", ErrorKind.CORRUPT),
        (lambda: patched(IMAGES["vhdx"], VHDX_BAT, "<Q", 4 * MIB | 7), "in state 7", ErrorKind.CORRUPT),
        (lambda: patched(IMAGES["vhdx"], VHDX_BAT, "<Q", 4 * MIB | 4), "in state 4", ErrorKind.CORRUPT),
        (lambda: patched(IMAGES["vhdx"], 2 * MIB + 32 * 5, "<I", 9), "feature that is not known", ErrorKind.INVALID),
    ],
)
def test_tables_of_a_vhdx(make: Callable[[], bytes], words: str, kind: ErrorKind) -> None:
    refused(make(), words, kind)


def test_a_vhdx_tells_its_sectors() -> None:
    assert VhdxReader(Memory(IMAGES["vhdx"])).sector == 512
    image = IMAGES["vhdx"]
    at = image.index(struct.pack("<II", 512, 512), 2 * MIB)
    native = VhdxReader(Memory(patched(image, at, "<II", 4096, 4096)))
    assert native.sector == 4096
    assert sha256_of(native) == WHOLE  # one chunk more or less of so small a disk has the same table


# -- VMDK


def test_grains_of_a_plain_vmdk() -> None:
    image = IMAGES["vmdk"]
    table = struct.unpack_from("<I", image, 21 * 512)[0] * 512
    (first,) = struct.unpack_from("<I", image, table)
    refused(patched(image, table + 4, "<I", first), "where another block does")
    refused(patched(image, table, "<I", len(image) // 512), "lies behind the end")
    refused(patched(image, table, "<I", 1 << 31), "lies behind the end")


def test_an_empty_grain_table_may_be_shared() -> None:
    disk = Sparse(100 * MIB, {0: content(1, 100)})
    image = vmdk_sparse(disk)
    directory = 21 * 512
    tables = struct.unpack_from("<4I", image, directory)
    shared = patched(image, directory, "<4I", tables[0], tables[1], tables[1], tables[1])
    assert content_of(shared) == sha256_of(disk)
    refused(patched(image, directory, "<4I", tables[0], tables[0], tables[0], tables[0]), "the same grain table")


# -- all of them


def test_places() -> None:
    places = Places(1000, 100, "VHD")
    places.take(0, 0, 100)
    places.take(1, 150, 100)
    places.take(2, 900, 100)
    for at, length in ((20, 100), (199, 1), (901, 100), (1 << 60, 1)):
        with pytest.raises(DiskFormatError, match="of the VHD"):
            places.take(3, at, length)


def test_a_short_read_is_said_to_be_one() -> None:
    assert read_fields(Memory(b"\1\2\3\4"), "<HH", 0, "it") == (513, 1027)
    for offset in (1, 4, 1 << 70):
        with pytest.raises(DiskFormatError, match="it lies behind the end of the image, which has 4 bytes"):
            read_fields(Memory(b"\1\2\3\4"), "<I", offset, "it")


VALUES = st.one_of(
    st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\xff" * 8, b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\0\0\1\0"]),
    st.binary(min_size=1, max_size=8),
)
PLACES = {
    "vmdk": st.one_of(st.integers(0, 80), st.integers(512, 700), st.integers(21 * 512, 27 * 512)),
    "vmdk-stream": st.one_of(st.integers(0, 80), st.integers(512, 700), st.integers(-9000, -1)),
    "vpc": st.one_of(st.integers(0, 512), st.integers(512, 600), st.integers(1536, 1600), st.integers(-512, -1)),
    "vpc-fixed": st.integers(-512, -1),
    "vhdx": st.one_of(
        st.integers(0x10000, 0x10060),
        st.integers(0x30000, 0x30060),
        st.integers(2 * MIB, 2 * MIB + 300),
        st.integers(2 * MIB + 65536, 2 * MIB + 65600),
        st.integers(3 * MIB, 3 * MIB + 100),
    ),
}


def summed(kind: str, image: bytearray) -> bytes:
    """``image`` with the checksums that its changes have made wrong made right again."""
    if kind == "vpc":
        image[-512:] = image[:512]
        image[512 + 36 : 512 + 40] = struct.pack(">I", ~(sum(image[512:548]) + sum(image[552:1536])) & 0xFFFFFFFF)
    if kind.startswith("vpc"):
        footer = image[-512:]
        footer[64:68] = struct.pack(">I", ~(sum(footer[:64]) + sum(footer[68:])) & 0xFFFFFFFF)
        image[-512:] = footer
        if kind == "vpc":
            image[:512] = footer
    if kind == "vhdx":
        for at, length in ((0x10000, 4096), (0x30000, 65536)):
            image[at + 4 : at + 8] = bytes(4)
            image[at + 4 : at + 8] = struct.pack("<I", crc32c(bytes(image[at : at + length])))
    return bytes(image)


def damaged(kind: str, data: st.DataObject) -> bytes:
    image = bytearray(IMAGES[kind])
    for place, value in data.draw(st.lists(st.tuples(PLACES[kind], VALUES), min_size=1, max_size=3)):
        at = place % len(image)
        image[at : at + len(value)] = value[: len(image) - at]
    if data.draw(st.booleans()):
        image = bytearray(summed(kind, image))
    return bytes(image[: data.draw(st.one_of(st.just(len(image)), st.integers(0, len(image))))])


RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", IMAGES)
@RELAXED
@given(data=st.data())
def test_damaged_tables_give_our_errors(kind: str, data: st.DataObject) -> None:
    image = damaged(kind, data)
    try:
        with open_disk(Memory(image), plenty(), name="disk") as disk:
            taken = sum(length for _, length in disk.extents())
            if disk.info.format.startswith(("vhd", "vmdk-sparse")):
                assert taken <= len(image)
            for at in (0, 3 * MIB, disk.size - 100):
                disk.read_at(at, 100)
    except ServiceError as error:
        assert error.problem.remedy or error.kind is ErrorKind.REFUSED
        assert str(error).isprintable()


@needs_qemu
@pytest.mark.parametrize("kind", ["vmdk", "vpc", "vhdx"])
@settings(RELAXED, max_examples=8)
@given(data=st.data())
def test_damaged_tables_never_give_other_bytes_than_qemu(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = damaged(kind, data)
    try:
        with open_disk(Memory(image), plenty(), name="disk") as disk:
            if disk.size > 64 * MIB or disk.info.format == "raw":
                return
            found, size = sha256_of(disk), disk.size
    except ServiceError:
        return
    folder: Path = tmp_path_factory.mktemp("qemu")
    (folder / "image").write_bytes(image)
    done = subprocess.run(
        ["qemu-img", "convert", "-f", kind, "-O", "raw", folder / "image", folder / "raw"],
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        raw = (folder / "raw").read_bytes()
        if len(raw) == size:  # qemu takes the size of some VHDs from their geometry
            assert sha256_of(Memory(raw)) == found
    shutil.rmtree(folder)
