"""Partition tables, volume groups, Btrfs and symbolic links, built by hand."""

from __future__ import annotations

import struct
import uuid
import zlib

import pytest

from tests.kits.disk_containers import Memory
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Severity
from vmie_tui.model.guest import FOREIGN, DiskFacts, GuestFacts, NotInspected, Presence
from vmie_tui.model.rules.content import check_content
from vmie_tui.services.disks.guest import lvm
from vmie_tui.services.disks.guest.btrfs import Btrfs
from vmie_tui.services.disks.guest.filesystems import FileSystem, Kind
from vmie_tui.services.disks.guest.identify import identify
from vmie_tui.services.disks.guest.partition_tables import BIOS_BOOT, ESP, read_table
from vmie_tui.services.disks.guest.tree import Tree
from vmie_tui.services.disks.guest.volumes import find_volumes
from vmie_tui.services.disks.guest.yal import DamagedError
from vmie_tui.services.disks.streams.ranges import BlockReader, Budget, BudgetExceededError, Slice

SECTOR = 512


def mbr(*entries: tuple[int, int, int, int], code: bytes = b"") -> bytes:
    """(flag, type, first sector, sectors) each."""
    table = b"".join(struct.pack("<B3xB3xII", *entry) for entry in entries).ljust(64, b"\0")
    return code.ljust(446, b"\0") + table + b"\x55\xaa"


def table_of(disk: bytearray) -> DiskFacts:
    return read_table(Memory(bytes(disk)), 0, "")


def test_logical_partitions_are_followed_and_rings_end() -> None:
    disk = bytearray(400 * SECTOR)
    disk[:512] = mbr((0x80, 0x83, 10, 20), (0, 0x0F, 100, 200), code=b"x")
    disk[100 * SECTOR : 101 * SECTOR] = mbr((0, 0x83, 2, 20), (0, 5, 50, 50))
    disk[150 * SECTOR : 151 * SECTOR] = mbr((0, 0x8E, 3, 20))
    found = table_of(disk)
    assert [(part.number, part.offset // SECTOR, part.type) for part in found.partitions] == [
        (1, 10, "83"), (5, 102, "83"), (6, 153, "8e"),
    ]  # fmt: skip
    assert found.bios_boot
    disk[150 * SECTOR : 151 * SECTOR] = mbr((0, 0x8E, 3, 20), (0, 5, 50, 50))  # leads to itself
    assert len(table_of(disk).partitions) == 3


def gpt(kinds: list[str], sectors: int = 200) -> bytearray:
    disk = bytearray(sectors * SECTOR)
    disk[:512] = mbr((0, 0xEE, 1, sectors - 1), code=b"x")
    entries = b"".join(
        uuid.UUID(kind).bytes_le + bytes(16) + struct.pack("<QQQ", 40 + 10 * number, 49 + 10 * number, 0) + bytes(72)
        for number, kind in enumerate(kinds)
    ).ljust(128 * 128, b"\0")
    for at, table in ((1, 2), (sectors - 1, sectors - 33)):
        header = bytearray(92)
        struct.pack_into("<8sIIIIQQQQ", header, 0, b"EFI PART", 0x10000, 92, 0, 0, at, 0, 34, sectors - 34)
        struct.pack_into("<QIII", header, 72, table, 128, 128, zlib.crc32(entries))
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        disk[at * SECTOR : at * SECTOR + 92] = header
        disk[table * SECTOR : table * SECTOR + len(entries)] = entries
    return disk


def test_the_second_copy_of_a_gpt_helps_and_two_bad_ones_do_not() -> None:
    disk = gpt([ESP, BIOS_BOOT])
    assert not table_of(disk).backup
    assert table_of(disk).bios_boot
    assert [part.type for part in table_of(disk).partitions] == [ESP, BIOS_BOOT]
    disk[2 * SECTOR + 60] ^= 1
    assert table_of(disk).backup
    assert len(table_of(disk).partitions) == 2
    disk[-SECTOR + 20] ^= 1
    found = table_of(disk)
    assert (found.table, found.partitions) == ("", ())
    assert "checksum" in found.problem


def test_dynamic_disks_are_known_by_their_partitions() -> None:
    assert table_of(gpt(["5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"])).dynamic
    disk = bytearray(100 * SECTOR)
    disk[:512] = mbr((0, 0x42, 63, 30))
    assert table_of(disk).dynamic


EXT = b"\x53\xef"
MD = struct.pack("<I", 0xA92B4EFC)


@pytest.mark.parametrize(
    ("at", "magic"),
    [
        (4096, MD), (0, MD), (512, b"LABELONE"), (1024, b"LABELONE"), (0x438, EXT), (0x10040, b"_BHRfS_M"),
        (0x8000, b"JFS1"), (4086, b"SWAPSPACE2"), (0, b"LUKS\xba\xbe"), (0x8001, b"CD001"), (54, b"FAT16   "),
        (3, b"NTFS    "), (0x2034, b"ReIsErFs"),
    ],
)  # fmt: skip
def test_a_signature_from_before_does_not_beat_a_valid_partition_table(at: int, magic: bytes) -> None:
    disk = bytearray(4 << 20)
    disk[:512] = mbr((0x80, 0x83, 2048, 4096))
    disk[at : at + len(magic)] = magic
    tables, found = find_volumes([Memory(bytes(disk))], lambda *_: None)
    assert tables[0].table == "mbr"
    assert [one.volume.name for one in found] == ["disk 1 partition 1"]


@pytest.mark.parametrize(
    "entries",
    [
        (),  # no partition at all
        ((7, 0x83, 2048, 4096),),  # a flag that there is not: code of a boot sector
        ((0, 0x83, 2048, 4096), (0, 0x83, 3000, 100)),  # two in one place
        ((0, 0x83, 1 << 30, 4096),),  # outside
        ((0, 0, 0, 4096),),
    ],
)
def test_a_table_that_is_none_does_not_hide_a_file_system(entries: tuple[tuple[int, int, int, int], ...]) -> None:
    disk = bytearray(4 << 20)
    disk[:512] = mbr(*entries)
    disk[0x8000:0x8004] = b"JFS1"
    tables, found = find_volumes([Memory(bytes(disk))], lambda *_: None)
    assert tables[0].table == "none"
    assert [one.volume.kind for one in found] == ["jfs"]


@pytest.mark.parametrize("first", [0, 1, 64])
def test_a_cd_that_can_be_started_from_a_stick_is_a_cd(first: int) -> None:
    disk = bytearray(4 << 20)
    disk[:512] = mbr((0x80, 0x17, first, 8000), (0, 0xEF, 8100, 50))
    disk[0x8001:0x8006] = b"CD001"
    tables, found = find_volumes([Memory(bytes(disk))], lambda *_: None)
    facts = GuestFacts(tables, tuple(one.volume for one in found))
    assert {each.rule: each.severity for each in check_content(facts, must_boot=True)} == {"cd-image": Severity.BLOCKER}


def test_names_of_partitions() -> None:
    disk = gpt([ESP, BIOS_BOOT])
    assert {part.uuid for part in table_of(disk).partitions} == {"00000000-0000-0000-0000-000000000000"}
    entry = bytearray(disk[1024 : 1024 + 128 * 128])
    entry[16:32] = uuid.UUID("11111111-2222-4333-8444-555555555555").bytes_le
    entry[56:64] = "Boot".encode("utf-16-le")
    for at, table in ((1, 2), (199, 167)):
        disk[table * SECTOR : table * SECTOR + len(entry)] = entry
        header = disk[at * SECTOR : at * SECTOR + 92]
        struct.pack_into("<I", header, 88, zlib.crc32(entry))
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        disk[at * SECTOR : at * SECTOR + 92] = header
    part = table_of(disk).partitions[0]
    assert (part.uuid, part.name) == ("11111111-2222-4333-8444-555555555555", "Boot")
    old = bytearray(400 * SECTOR)
    old[:512] = mbr((0, 0x83, 10, 20), (0, 5, 100, 200))
    old[100 * SECTOR : 101 * SECTOR] = mbr((0, 0x83, 2, 20))
    old[440:444] = struct.pack("<I", 0xABCD1234)
    assert [part.uuid for part in table_of(old).partitions] == ["abcd1234-01", "abcd1234-05"]


def native(kind: str) -> bytes:
    """A disk of 4096-byte sectors with one XFS from its sector 256 on."""
    disk = bytearray(8 << 20)
    if kind == "mbr":
        disk[:512] = mbr((0x80, 0x83, 256, 1024))
    else:
        disk[:512] = mbr((0, 0xEE, 1, 2047))
        entries = uuid.UUID(BIOS_BOOT).bytes_le + bytes(16) + struct.pack("<QQQ", 256, 1279, 0)
        entries = entries.ljust(128 * 128, b"\0")
        header = bytearray(92)
        struct.pack_into("<8sIIIIQQQQ", header, 0, b"EFI PART", 0x10000, 92, 0, 0, 1, 2047, 6, 2000)
        struct.pack_into("<QIII", header, 72, 2, 128, 128, zlib.crc32(entries))
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        disk[4096 : 4096 + 92] = header
        disk[8192 : 8192 + len(entries)] = entries
    disk[1 << 20 : (1 << 20) + 4] = b"XFSB"
    return bytes(disk)


@pytest.mark.parametrize("kind", ["mbr", "gpt"])
def test_a_table_for_sectors_of_4096_bytes_is_a_blocker(kind: str) -> None:
    tables, _ = find_volumes([Memory(native(kind))], lambda *_: None)
    assert (tables[0].table, tables[0].sector, tables[0].partitions[0].offset) == (kind, 4096, 1 << 20)
    found = {each.rule: each.severity for each in check_content(GuestFacts(tables))}
    assert found["native-sectors"] is Severity.BLOCKER


def test_blank_and_empty_disks() -> None:
    assert table_of(bytearray(100_000)).blank
    assert "55AA" in table_of(bytearray(b"x" * 100_000)).problem
    sun = bytearray(100_000)
    sun[508:510] = b"\xda\xbe"
    assert "Sun" in table_of(sun).problem
    assert identify(Memory(b"dmvdo001" + bytes(1000))) == "vdo"
    assert identify(Memory(b"")) == identify(Memory(b"x" * 700)) == ""
    disk = bytearray(100_000)
    disk[:512] = mbr()
    assert table_of(disk).problem == "its partition table is empty"


@pytest.mark.parametrize(
    ("at", "magic", "kind"),
    [
        (0, b"LUKS\xba\xbe", "luks"),
        (3, b"-FVE-FS-", "bitlocker"),
        (3, b"ReFS\0\0\0\0", "refs"),
        (0x8000, b"JFS1", "jfs"),
        (4096, struct.pack("<I", 0xA92B4EFC), "mdraid"),
        (0, struct.pack("<I", 0xA92B4EFC), "mdraid"),
        ((1 << 20) - 0x10000, struct.pack("<I", 0xA92B4EFC), "mdraid"),
        ((1 << 20) - 8192, struct.pack("<I", 0xA92B4EFC), "mdraid"),
        (4086, b"SWAPSPACE2", "swap"),
        (0, b"nothing", ""),
    ],
)
def test_volumes_are_known_by_their_first_or_last_bytes(at: int, magic: bytes, kind: str) -> None:
    volume = bytearray(1 << 20)
    volume[at : at + len(magic)] = magic
    assert identify(Memory(bytes(volume))) == kind


def member(kind: str, *, size: int, blocks: int, at: int | None = None) -> bytes:
    """A volume of ``size`` bytes: a file system of ``blocks`` times 4 KiB, and a RAID superblock at byte ``at``."""
    data = bytearray(size)
    if kind == "ext":
        struct.pack_into("<I", data, 1024 + 4, blocks)
        struct.pack_into("<I", data, 1024 + 24, 2)
        data[0x438:0x43A] = EXT
    elif kind == "xfs":
        struct.pack_into(">4sIQ", data, 0, b"XFSB", 4096, blocks)
    elif kind == "fat":
        struct.pack_into("<H", data, 11, 512)
        struct.pack_into("<I", data, 32, blocks * 8)
        data[54:62] = b"FAT16   "
    elif kind == "btrfs":
        struct.pack_into("<8s", data, 0x10040, b"_BHRfS_M")
        struct.pack_into("<Q", data, 0x10000 + 209, blocks * 4096)
    elif kind == "lvm":
        data[512:520] = b"LABELONE"
    else:
        data[4086:4096] = b"SWAPSPACE2"
    if at is not None:
        data[at : at + 4] = MD
    return bytes(data)


@pytest.mark.parametrize("kind", ["ext", "xfs", "fat", "btrfs", "lvm", "swap"])
@pytest.mark.parametrize("tail", [64 << 10, 8 << 10])
def test_a_member_of_an_array_is_no_file_system_of_its_own(kind: str, tail: int) -> None:
    size = 2 << 20
    assert identify(Memory(member(kind, size=size, blocks=(size - tail) // 4096, at=size - tail))) == "mdraid"


@pytest.mark.parametrize("kind", ["ext", "xfs", "fat", "btrfs"])
@pytest.mark.parametrize("tail", [64 << 10, 8 << 10])
def test_a_file_system_over_an_old_superblock_is_no_member(kind: str, tail: int) -> None:
    size = 2 << 20
    assert identify(Memory(member(kind, size=size, blocks=size // 4096, at=size - tail))) == kind


@pytest.mark.parametrize("modern", [True, False])
def test_partitioned_disks_of_one_array_are_no_two_systems(modern: bool) -> None:
    def disk(array: int) -> Memory:
        data = bytearray(4 << 20)
        data[:512] = mbr((0x80, 0x83, 2048, 4096))
        data[(1 << 20) : (1 << 20) + 4] = b"XFSB"
        at = len(data) - (8 << 10 if modern else 64 << 10)
        data[at : at + 8] = MD + bytes([modern, 0, 0, 0])
        place = at + (16 if modern else 52)
        data[place : place + 4] = struct.pack("<I", array)
        return Memory(bytes(data))

    _, both = find_volumes([disk(7), disk(7)], lambda *_: None)
    assert [(one.volume.name, one.volume.kind) for one in both] == [("disk 1", "mdraid"), ("disk 2", "mdraid")]
    _, apart = find_volumes([disk(7), disk(8)], lambda *_: None)
    assert [one.volume.kind for one in apart] == ["xfs", "xfs"]
    _, alone = find_volumes([disk(7)], lambda *_: None)
    assert [one.volume.kind for one in alone] == ["xfs"]


@pytest.mark.parametrize("kind", ["ext", "xfs", "btrfs"])
def test_a_file_system_that_is_larger_than_its_volume_is_named(kind: str) -> None:
    half = member(kind, size=1 << 20, blocks=512)
    missed: list[tuple[str, str]] = []
    _, found = find_volumes([Memory(half)], lambda *note: missed.append(note))
    assert [one.volume.beyond for one in found] == [1 << 20]
    [finding] = [each for each in check_content(GuestFacts((), (found[0].volume,))) if each.rule == "cut-short"]
    assert finding.severity is Severity.BLOCKER
    _, found = find_volumes([Memory(member(kind, size=2 << 20, blocks=512))], lambda *_: None)
    assert [one.volume.beyond for one in found] == [0]


@pytest.mark.parametrize(
    ("at", "magic", "name"),
    [
        (3, b"EXFAT   ", "exFAT"), (0x10034, b"ReIsEr2Fs", "ReiserFS"), (0x20000, b"\x0c\xb1\xba\0\0\0\0\0", "ZFS"),
        (1024, b"\x10\x20\xf5\xf2", "F2FS"), (1024, b"H+\0\4", "HFS+"), (0x10000 + 0x55C, b"\x19\1\x54\x19", "UFS"),
        (1024, b"OCFSV2", "OCFS2"), (0x10000, b"\1\x16\x19\x70", "GFS2"), (0x200000, b"\x5e\xf1\xab\x2f", "VMFS"),
        (0x8001, b"CD001", "ISO 9660"), (0x8001, b"NSR02", "UDF"),
        (4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), "bcache"),
        ((4 << 20) - 4096 + 60, b"\x83\x74\x02\x6d", "DRBD"), (32, b"NXSB", "APFS"), (0, b"hsqs", "SquashFS"),
        ((4 << 20) - 1024, b"Intel Raid ISM Cfg Sig. 1", "firmware RAID"), (1024, b"\xe2\xe1\xf5\xe0", "EROFS"),
        (516, b"!Stra0tis\x86\xff\x02^\x41rh", "Stratis"), (0x2000, b"\x49\xe8\x95\xf9", "HPFS"),
    ],
)  # fmt: skip
def test_what_is_not_read_has_its_name_and_is_no_broken_disk(at: int, magic: bytes, name: str) -> None:
    data = bytearray(4 << 20)
    data[at : at + len(magic)] = magic
    missed: list[NotInspected] = []
    tables, found = find_volumes([Memory(bytes(data))], lambda what, why: missed.append(NotInspected(what, why)))
    guest = GuestFacts(tables, tuple(one.volume for one in found), not_inspected=tuple(missed))
    findings = check_content(guest, must_boot=True)
    assert any(name in finding.what for finding in findings)
    assert not any("testdisk" in finding.remedy for finding in findings)
    # A container may hold a system that VM import takes; these file systems cannot.
    blockers = (
        {"cd-image"} if name in {"ISO 9660", "UDF"} else {"unknown-os"} if found[0].volume.kind in FOREIGN else set()
    )
    assert {each.rule for each in findings if each.severity is Severity.BLOCKER} == blockers
    assert missed == [NotInspected("the files on disk 1", f"{name} is not read")]


def test_what_is_on_a_volume_and_not_known_is_not_inspected() -> None:
    disk = bytearray(4 << 20)
    disk[:512] = mbr((0x80, 0x83, 2048, 2048), (0, 0x83, 4096, 2048), code=b"x")
    disk[1 << 20 : (1 << 20) + 5] = b"stuff"
    missed: list[NotInspected] = []
    tables, found = find_volumes([Memory(bytes(disk))], lambda what, why: missed.append(NotInspected(what, why)))
    assert missed == [NotInspected("the files on disk 1 partition 1", "what is on it is not known")]
    guest = GuestFacts(tables, tuple(one.volume for one in found), not_inspected=tuple(missed))
    assert not [each for each in check_content(guest, must_boot=True) if each.severity is Severity.BLOCKER]


def test_a_hibernated_linux_is_a_warning() -> None:
    for magic, suspended in ((b"S1SUSPEND\0", True), (b"SWAPSPACE2", False)):
        data = bytearray(1 << 20)
        data[4086:4096] = magic
        _, found = find_volumes([Memory(bytes(data))], lambda *_: None)
        rules = {each.rule for each in check_content(GuestFacts((), (found[0].volume,)))}
        assert ("hibernated" in rules) is suspended


# ---- LVM

EXTENT = 8  # sectors
A, B = "a" * 32, "b" * 32


def dashed(ident: str) -> str:
    return "-".join((ident[:6], *(ident[at : at + 4] for at in range(6, 26, 4)), ident[26:]))


def volume(ident: str, text: str, data: bytes) -> Memory:
    """A physical volume whose first extent begins at sector 16."""
    meta = text.encode() + b"\0"
    head = bytearray(16 * SECTOR)
    label = ident.encode() + struct.pack("<Q", 1 << 20) + struct.pack("<8Q", 8192, 0, 0, 0, 1024, 6144, 0, 0)
    head[512:544] = b"LABELONE" + struct.pack("<QII", 1, 0, 32) + b"LVM2 001"
    head[544 : 544 + len(label)] = label
    head[1024 : 1024 + 64] = struct.pack("<I", 0) + b" LVM2 x[5A%r0N*>" + struct.pack(
        "<IQQQQII", 1, 1024, 6144, 512, len(meta), 0, 0
    )[:44]  # fmt: skip
    head[1536 : 1536 + len(meta)] = meta
    return Memory(bytes(head) + data)


def group(segments: str) -> str:
    physical = "".join(
        f'{name} {{\nid = "{dashed(ident)}"\npe_start = 16\npe_count = 8\n}}\n'
        for name, ident in (("pv0", A), ("pv1", B))
    )
    return (
        f'vg {{\nseqno = 3\nextent_size = {EXTENT}\nphysical_volumes {{\n{physical}}}\nlogical_volumes {{\nroot {{\n'
        f'id = "x"\nstatus = ["READ", "VISIBLE"]\nsegment_count = 1\n{segments}}}\n}}\n}}\n# by hand\nversion = 1\n'
    )  # fmt: skip


SIZE = EXTENT * SECTOR
FIRST = b"".join(bytes([65 + number]) * SIZE for number in range(4))
SECOND = FIRST.lower()


def test_a_logical_volume_over_two_disks() -> None:
    text = group(
        'segment1 {\nstart_extent = 0\nextent_count = 2\ntype = "striped"\nstripes = [\n"pv0", 1\n]\n}\n'
        'segment2 {\nstart_extent = 2\nextent_count = 1\ntype = "striped"\nstripes = [\n"pv1", 3\n]\n}\n'
    )
    both = [lvm.physical_volume(volume(A, text, FIRST)), lvm.physical_volume(volume(B, "", SECOND))]
    [root] = lvm.logical_volumes(both)
    assert root.source is not None
    assert (root.group, root.name, root.size) == ("vg", "root", 3 * SIZE)
    assert root.source.read_at(0, 4 * SIZE) == b"B" * SIZE + b"C" * SIZE + b"d" * SIZE
    assert root.source.read_at(2 * SIZE - 5, 10) == b"CCCCCddddd"
    [alone] = lvm.logical_volumes(both[:1])
    assert (alone.source, alone.missing) == (None, ("pv1",))


def test_a_striped_logical_volume() -> None:
    text = group(
        'segment1 {\nstart_extent = 0\nextent_count = 4\ntype = "striped"\nstripe_count = 2\nstripe_size = 4\n'
        'stripes = [\n"pv0", 0,\n"pv1", 0\n]\n}\n'
    )
    both = [lvm.physical_volume(volume(A, text, FIRST)), lvm.physical_volume(volume(B, text, SECOND))]
    [root] = lvm.logical_volumes(both)
    assert root.source is not None
    half = SIZE // 2
    assert root.source.read_at(0, 3 * SIZE) == (b"A" * half + b"a" * half) * 2 + b"B" * half + b"b" * half


def test_other_segments_are_named_and_broken_metadata_is_damage() -> None:
    text = group('segment1 {\nstart_extent = 0\nextent_count = 4\ntype = "thin"\n}\n')
    [root] = lvm.logical_volumes([lvm.physical_volume(volume(A, text, FIRST))])
    assert (root.source, root.missing) == (None, ())
    assert "thin" in root.why
    for broken in ("vg {", "vg } }", "vg { a = ", "a b c", "vg {" * 100):
        with pytest.raises(DamagedError):
            lvm.parse(broken)


# ---- Btrfs

NODE = 4096


def leaf(*items: tuple[int, int, int, bytes]) -> bytes:
    """A leaf with (objectid, type, offset, data) items."""
    head, data = b"", b""
    for ident, kind, offset, content in items:
        data = content + data
        head += struct.pack("<QBQII", ident, kind, offset, NODE - 101 - len(data), len(content))
    return (bytes(96) + struct.pack("<IB", len(items), 0) + head).ljust(NODE - len(data), b"\0") + data


def btrfs(*roots: int) -> Memory:
    disk = bytearray(1 << 20)
    logical, physical = 1 << 30, 0x20000
    chunk = struct.pack("<QQQQIIIHH", 1 << 19, 2, 65536, 2, 0, 0, 4096, 1, 0)
    chunk += struct.pack("<QQ16x", 1, physical)
    block = bytearray(4096)
    block[64:72] = b"_BHRfS_M"
    struct.pack_into("<QQQ", block, 80, logical, logical + NODE, 0)
    struct.pack_into("<QQ", block, 112, 1 << 20, 1 << 18)
    struct.pack_into("<I", block, 148, NODE)
    array = struct.pack("<QBQ", 256, 228, logical) + chunk
    struct.pack_into("<I", block, 160, len(array))
    block[811 : 811 + len(array)] = array
    disk[0x10000:0x11000] = block
    disk[physical : physical + NODE] = leaf(*((root, 132, 0, b"root item") for root in roots))
    disk[physical + NODE : physical + 2 * NODE] = leaf((256, 228, logical, chunk))
    return Memory(bytes(disk))


def test_btrfs_subvolumes_are_counted() -> None:
    assert identify(btrfs()) == "btrfs"
    assert Btrfs(btrfs(2, 4, 5)).subvolumes == 0
    found = Btrfs(btrfs(5, 256, 257))
    assert (found.subvolumes, found.free, found.dirty) == (2, (1 << 20) - (1 << 18), False)
    lost = bytearray(btrfs(5, 256).data)
    lost[0x10000 + 80 : 0x10000 + 88] = struct.pack("<Q", 1 << 40)  # a root outside of every chunk
    assert Btrfs(Memory(bytes(lost))).subvolumes is None


# ---- a tree of several file systems


class Fake:
    """A node made of dictionaries (folders), bytes (files) and text (links)."""

    def __init__(self, content: object) -> None:
        self.content = content
        self.kind = {dict: Kind.FOLDER, bytes: Kind.FILE, str: Kind.LINK}[type(content)]
        self.size = len(content)  # type: ignore[arg-type]

    def target(self) -> str:
        return str(self.content)

    def child(self, name: str) -> Fake | None:
        assert isinstance(self.content, dict)
        if self.content.get(name) == {"broken": b""}:
            raise DamagedError("a damaged inode")
        return Fake(self.content[name]) if name in self.content else None

    def names(self) -> tuple[str, ...]:
        assert isinstance(self.content, dict)
        return tuple(self.content)

    def read(self, offset: int, length: int) -> bytes:
        assert isinstance(self.content, bytes)
        return self.content[offset : offset + length]


def tree(content: dict[str, object], *, dirty: bool = False) -> tuple[Tree, list[NotInspected]]:
    system = FileSystem("ext4", lambda: Fake(content))
    system.dirty = dirty
    missed: list[NotInspected] = []
    return Tree(system, missed), missed


def test_links_stay_inside_the_guest_and_cross_mounts() -> None:
    found, missed = tree({
        "bin": "usr/bin", "usr": {"bin": {"ls": b"program", "up": "../../etc/name", "far": "/../../../etc/name"}},
        "etc": {"name": b"guest"}, "boot": {}, "ring": "ring", "a": "b/x", "b": "a/x",
    })  # fmt: skip
    found.mount("/boot", FileSystem("ext4", lambda: Fake({"grub2": {"grubenv": "../efi/env"}, "efi": {}})))
    found.mount("/boot/efi", FileSystem("fat", lambda: Fake({"env": b"saved_entry=x"})))
    assert found.text("/bin/ls") == (Presence.PRESENT, "program")
    assert found.text("/bin/up")[1] == found.text("/bin/far")[1] == "guest"
    assert found.real("/bin/up") == "/etc/name"
    assert found.text("/boot/grub2/grubenv")[1] == "saved_entry=x"
    assert found.has("/bin/cat") is Presence.MISSING
    assert found.has("/etc/name/below") is Presence.MISSING
    assert missed == []
    assert found.has("/ring") is Presence.UNKNOWN
    assert found.has("/a/b/c") is Presence.UNKNOWN
    assert {note.what for note in missed} == {"/ring", "/a/b/c"}


def test_what_cannot_be_read_is_unknown_and_noted() -> None:
    found, missed = tree({"etc": {"broken": b""}})
    assert found.has("/etc/x") is Presence.UNKNOWN
    assert found.text("/etc/x") == (Presence.UNKNOWN, "")
    assert found.names("/etc") is None
    assert missed == [NotInspected("/etc/x", "a damaged inode"), NotInspected("/etc", "a damaged inode")]


def test_missing_in_a_dirty_file_system_is_unknown() -> None:
    found, missed = tree({"etc": {"here": b"x"}}, dirty=True)
    assert found.has("/etc/here") is Presence.PRESENT
    assert found.has("/etc/fstab") is Presence.UNKNOWN
    assert "journal" in missed[0].why


# ---- ranges


def test_neighbours_are_fetched_together_and_once() -> None:
    asked: list[tuple[int, int]] = []

    class Source:
        size = 1000

        def read_at(self, offset: int, length: int) -> bytes:
            asked.append((offset, length))
            return bytes(number % 251 for number in range(offset, offset + length))

    reader = BlockReader(Source(), block=100)
    assert reader.read_at(150, 200) == bytes(number % 251 for number in range(150, 350))
    assert reader.read_at(0, 600) == bytes(number % 251 for number in range(600))
    assert reader.read_at(950, 100) == bytes(number % 251 for number in range(950, 1000))
    assert asked == [(100, 300), (0, 100), (400, 200), (900, 100)]
    assert (reader.budget.used_requests, reader.budget.used_bytes) == (4, 700)
    assert reader.read_at(1000, 1) == reader.read_at(-5, 1) == b""


def test_a_budget_is_never_exceeded() -> None:
    reader = BlockReader(Memory(bytes(10_000)), Budget(requests=2, bytes=700), block=100)
    reader.read_at(0, 100)
    with pytest.raises(BudgetExceededError):
        reader.read_at(1000, 700)
    reader.read_at(1000, 500)
    with pytest.raises(BudgetExceededError):
        reader.read_at(5000, 1)
    assert reader.read_at(0, 100) == bytes(100), "what is there can still be read"
    assert (reader.budget.used_requests, reader.budget.used_bytes) == (2, 600)
    late = BlockReader(Memory(bytes(1000)), Budget(seconds=-1))
    with pytest.raises(BudgetExceededError):
        late.read_at(0, 1)


def test_a_source_that_failed_is_not_asked_again() -> None:
    asked = []

    class Broken:
        size = 1000

        def read_at(self, offset: int, length: int) -> bytes:
            asked.append(offset)
            if offset:
                raise ServiceError(ErrorKind.NETWORK, "the network is gone")
            return bytes(length)

    reader = BlockReader(Broken(), block=100)
    reader.read_at(0, 100)
    for _ in range(3):
        with pytest.raises(ServiceError, match="gone"):
            reader.read_at(500, 10)
    assert reader.read_at(50, 50) == bytes(50)
    assert asked == [0, 500]


def test_a_slice_ends_where_its_source_does() -> None:
    part = Slice(Memory(b"0123456789"), 6, 100)
    assert part.size == 4
    assert part.read_at(1, 100) == b"789"
    assert part.read_at(-1, 100) == part.read_at(4, 1) == b""
