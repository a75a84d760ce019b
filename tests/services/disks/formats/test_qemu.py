"""QCOW2 and VDI: what qemu-img could not convert, or would convert to other bytes, is refused before it begins."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.disk_containers import Memory
from tests.kits.disk_images import content, needs_qemu, patched
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.convert_source import open_every
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats import qemu
from vmie_tui.services.image_sources import describe_file

MIB = 1 << 20


def qcow2() -> bytes:
    """A header of version 3 with a table of one entry."""
    head = struct.pack(">4sIQIIQIIQ", b"QFI\xfb", 3, 0, 0, 16, MIB, 0, 1, 65536)
    return head.ljust(65536, b"\0") + bytes(65536)


def vdi(entries: tuple[int, ...] = (0, 0xFFFFFFFF, 1), size: int = 3 * MIB - 512) -> bytes:
    """A dynamic VDI with its block table at 512 and its blocks from 1024 on; the last one only as long as the disk."""
    image = bytearray(1024)
    struct.pack_into("<IIII", image, 64, 0xBEDA107F, 0x10001, 400, 1)
    struct.pack_into("<II12xI4xQIIII", image, 0x154, 512, 1024, 512, size, MIB, 0, len(entries), 2)
    struct.pack_into(f"<{len(entries)}I", image, 512, *entries)
    return bytes(image) + content(1, MIB) + content(2, MIB - 512)


REFUSED: dict[str, tuple[str, Callable[[], bytes], str, ErrorKind]] = {
    "LUKS": ("qcow2", lambda: patched(qcow2(), 32, ">I", 2), r"encrypted \(LUKS\)", ErrorKind.INVALID),
    "AES": ("qcow2", lambda: patched(qcow2(), 32, ">I", 1), r"encrypted \(AES\)", ErrorKind.INVALID),
    "data file": ("qcow2", lambda: patched(qcow2(), 72, ">Q", 4), "data in another file", ErrorKind.INVALID),
    "marked": ("qcow2", lambda: patched(qcow2(), 72, ">Q", 2), "marked as corrupt", ErrorKind.CORRUPT),
    "features": ("qcow2", lambda: patched(qcow2(), 72, ">Q", 1 << 60), "features that are not", ErrorKind.INVALID),
    "clusters": ("qcow2", lambda: patched(qcow2(), 20, ">I", 40), "clusters of 2", ErrorKind.CORRUPT),
    "table": ("qcow2", lambda: patched(qcow2(), 40, ">Q", 1 << 40), "table lies behind", ErrorKind.CORRUPT),
    "QCOW2 of 40 bytes": ("qcow2", lambda: qcow2()[:40], "header lies behind", ErrorKind.CORRUPT),
    "version": ("vdi", lambda: patched(vdi(), 0x44, "<I", 0x10002), "version 1.2", ErrorKind.INVALID),
    "undo image": ("vdi", lambda: patched(vdi(), 0x4C, "<I", 3), "type 3", ErrorKind.INVALID),
    "link": ("vdi", lambda: patched(vdi(), 0x1A8, "<I", 3), "difference to its parent", ErrorKind.INVALID),
    "parent": ("vdi", lambda: patched(vdi(), 0x1B8, "<I", 3), "difference to its parent", ErrorKind.INVALID),
    "block size": ("vdi", lambda: patched(vdi(), 0x178, "<I", 1 << 16), "blocks of 65536", ErrorKind.CORRUPT),
    "capacity": ("vdi", lambda: patched(vdi(), 0x170, "<Q", 1 << 40), "says 3 blocks", ErrorKind.CORRUPT),
    "cut": ("vdi", lambda: vdi()[:-512], "lies behind the end", ErrorKind.CORRUPT),
    "block beyond": ("vdi", lambda: vdi((0, 5, 1)), "lies behind the end", ErrorKind.CORRUPT),
    "block twice": ("vdi", lambda: vdi((0, 0, 1)), "where another block does", ErrorKind.CORRUPT),
    "table beyond": ("vdi", lambda: patched(vdi(), 0x154, "<I", 1 << 31), "block table lies behind", ErrorKind.CORRUPT),
    "huge table": ("vdi", lambda: patched(vdi(), 0x180, "<I", 1 << 31), "block table lies behind", ErrorKind.CORRUPT),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_its_header(name: str) -> None:
    kind, make, words, error = REFUSED[name]
    with pytest.raises(DiskFormatError, match=words) as caught:
        qemu.check_header(Memory(make()), kind, None)
    assert caught.value.kind is error
    assert caught.value.problem.remedy


def test_sound_headers() -> None:
    qemu.check_header(Memory(qcow2()), "qcow2", None)
    qemu.check_header(Memory(patched(qcow2(), 72, ">Q", 0x19)), "qcow2", None)
    qemu.check_header(Memory(vdi()), "vdi", None)
    qemu.check_header(Memory(vdi((0xFFFFFFFE, 0, 1))), "vdi", None)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["qcow2", "vdi"]), st.integers(0, 600), st.binary(min_size=1, max_size=8), st.integers(0, 2000))
def test_no_header_crashes_the_check(kind: str, place: int, change: bytes, cut: int) -> None:
    image = qcow2() if kind == "qcow2" else vdi()
    damaged = image[:place] + change + image[place + len(change) :]
    for each in (damaged, damaged[:cut]):
        try:
            qemu.check_header(Memory(each), kind, None)
        except DiskFormatError as error:
            assert error.problem.remedy


@needs_qemu
@pytest.mark.parametrize("kind", ["qcow2", "vdi"])
def test_an_image_that_is_cut_off_is_refused_in_preflight_and_conversion(kind: str, tmp_path: Path) -> None:
    """qemu-img itself converts it without a word, with zeros where the data is missing."""
    raw, image = tmp_path / "disk.raw", tmp_path / f"disk.{kind}"
    raw.write_bytes(content(9, 3 * MIB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, raw, image], check=True)
    assert describe_file([image]).machine.disks[0].capacity == 3 * MIB
    with ExitStack() as held:
        (opened,) = open_every(image, held, raw=False, beside=tmp_path / "o", progress=lambda done, total: None)
        assert opened.source.read_at(0, 3 * MIB) == raw.read_bytes()
    image.write_bytes(image.read_bytes()[: -MIB - 1])
    for look in (
        lambda: describe_file([image]),
        lambda: open_every(image, ExitStack(), raw=False, beside=tmp_path / "o", progress=lambda done, total: None),
    ):
        with pytest.raises(ServiceError, match=r"not received whole|lies behind the end") as caught:
            look()
        assert caught.value.kind is ErrorKind.CORRUPT
        assert caught.value.problem.subject == str(image)
