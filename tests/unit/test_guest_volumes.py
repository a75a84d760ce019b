"""Partition tables, volume groups, Btrfs and symbolic links, built by hand."""

from __future__ import annotations

import struct
import uuid
import zlib

import pytest

from tests.unit.container_writers import Memory
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.guest import DiskFacts, NotInspected, Presence
from vmie_tui.services.disks.guest import lvm
from vmie_tui.services.disks.guest.btrfs import Btrfs
from vmie_tui.services.disks.guest.filesystems import FileSystem, Kind
from vmie_tui.services.disks.guest.identify import identify
from vmie_tui.services.disks.guest.tables import BIOS_BOOT, ESP, read_table
from vmie_tui.services.disks.guest.tree import Tree
from vmie_tui.services.disks.guest.yal import DamagedError
from vmie_tui.services.disks.ranges import BlockReader, Budget, BudgetExceededError, Slice

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


def test_blank_and_empty_disks() -> None:
    assert table_of(bytearray(100_000)).blank
    assert "55AA" in table_of(bytearray(b"x" * 100_000)).problem
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
