"""Disks that are not what an import expects: broken tables, dynamic disks, foreign encryption, another processor."""

from __future__ import annotations

import struct
import uuid
from functools import partial
from pathlib import Path

from guestlib import disks, filesystems, linux, windows
from guestlib.disks import LINUX, Part, guid
from guestlib.filesystems import Extent, Tree
from guestlib.linux import ARM64, GRUB_MBR, System
from guestlib.linux_guests import DEBIAN12, debian12, debian_disk
from guestlib.recipe import guest
from guestlib.windows import WINDOWS_MBR, Windows

_BITLOCKER = uuid.UUID("4967d63b-2e29-4ad8-8399-f6a339e3d001")


@guest("GPT with wrong checksums", boot="bios", expect=("no-valid-partitions",))
def gpt_bad_checksums(path: Path) -> list[Extent]:
    """Wrong: a tool changed the table, in both copies, but not its checksums ("No valid partitions")."""
    seed = "gpt-bad-checksums"
    system = debian12(seed)
    build = partial(filesystems.ext, tree=linux.debian(system), uuid=system.uuid)
    free = disks.gpt(path, 512, [Part(disks.BIOS_BOOT, 1), Part(LINUX, None, build)], seed=seed, boot_code=GRUB_MBR)
    with path.open("r+b") as disk:
        for sector in (2, path.stat().st_size // 512 - 33):  # the entries, and their copy
            disk.seek(sector * 512 + 56)  # the first entry's name
            disk.write("changed".encode("utf-16-le"))
    return free


@guest("First MiB wiped", boot="bios", expect=("no-valid-partitions",))
def wiped(path: Path) -> list[Extent]:
    """Wrong: the first MiB was wiped, so there is neither a boot signature nor a table ("No valid partitions")."""
    free = debian_disk(path, 512, "wiped", linux.debian(debian12("wiped")))
    with path.open("r+b") as disk:
        disk.write(bytes(1 << 20))
    return free


@guest("Debian 12.4 for ARM", boot="bios", expect=("arm64",))
def debian12_arm64(path: Path) -> list[Extent]:
    """Wrong: programs and kernel are for 64-bit ARM, which VM import does not accept."""
    seed, version = "debian12-arm64", "6.1.0-18-arm64"
    files: Tree = {"etc/debian_version": "12.4\n"}
    system = System(guid(f"{seed} root"), version, DEBIAN12, "arm", arch=ARM64, files=files)
    return debian_disk(path, 512, seed, linux.debian(system))


@guest("A Linux nobody knows", boot="bios", expect=("unknown-os",))
def linux_unknown(path: Path) -> list[Extent]:
    """Wrong: no os-release, no debian_version, no redhat-release ("Unknown OS / Missing OS files")."""
    seed = "linux-unknown"
    tree = linux.debian(debian12(seed))
    for name in ("etc/os-release", "usr/lib/os-release", "etc/debian_version", "var/lib/dpkg/status"):
        del tree[name]
    return debian_disk(path, 512, seed, tree)


@guest("Windows Server 2012 R2 on a dynamic disk", boot="bios", expect=("dynamic-disk",))
def ws2012_dynamic(path: Path) -> list[Extent]:
    """Wrong: the disk belongs to the Logical Disk Manager (MBR type 42, private header before its database)."""
    system = Windows("Windows Server 2012 R2 Standard", "9600", "ServerStandard", "ERP-OLD")
    build = partial(filesystems.ntfs, tree=windows.tree(system), label="Windows", start_sector=2048)
    free = disks.mbr(path, 512, [Part("42", 510, build, active=True)], seed="ws2012-dynamic", boot_code=WINDOWS_MBR)
    with path.open("r+b") as disk:
        for sector in (6, path.stat().st_size // 512 - 1856, path.stat().st_size // 512 - 1):
            disk.seek(sector * 512)
            disk.write(_private_header(path.stat().st_size // 512))
    return free


def _private_header(sectors: int) -> bytes:
    """LDM's PRIVHEAD 2.12, big-endian: where the disk's data and its database of 1 MiB are."""
    head = bytearray(512)
    head[:8] = b"PRIVHEAD"
    struct.pack_into(">HH", head, 12, 2, 12)
    head[48:112] = guid("ws2012 disk").encode().ljust(64, b"\0")
    head[176:240] = guid("ws2012 group").encode().ljust(64, b"\0")
    struct.pack_into(">QQQQ", head, 283, 63, sectors - 2048 - 63, sectors - 2048, 2048)
    struct.pack_into(">I", head, 8, sum(head) & 0xFFFFFFFF)
    return bytes(head)


@guest("Windows 10 with BitLocker", boot="bios", expect=("encrypted-volume",), noise="random")
def win10_bitlocker(path: Path) -> list[Extent]:
    """Wrong: C: is a BitLocker volume ("encrypted volumes"); only the boot manager's partition can be read."""
    tree: Tree = {"bootmgr": windows.pe(), "Boot/BCD": windows.boot_store()}

    def system(image: Path) -> list[Extent]:
        filesystems.ntfs(image, tree, label="System")
        return []  # the noise belongs to the encrypted volume only

    parts = [Part("7", 64, system, active=True), Part("7", None, _bitlocker)]
    return disks.mbr(path, 512, parts, seed="win10-bitlocker", boot_code=WINDOWS_MBR)


def _bitlocker(image: Path) -> list[Extent]:
    """A BitLocker volume's first sector and its three metadata blocks (their headers); the rest is ciphertext."""
    places = [16 << 20, 32 << 20, 48 << 20]
    first = bytearray(512)
    first[:11] = b"\xeb\x58\x90-FVE-FS-"
    struct.pack_into("<HBH", first, 11, 512, 8, 0)
    first[160:176] = _BITLOCKER.bytes_le
    struct.pack_into("<QQQ", first, 176, *places)
    first[510:] = b"\x55\xaa"
    size = image.stat().st_size
    with image.open("r+b") as volume:
        volume.write(first)
        for place in places:
            head = b"-FVE-FS-" + struct.pack("<HHHHQI4x4Q", 4, 2, 4, 4, size, 0, *places, 8192)
            volume.seek(place)
            volume.write(head.ljust(512, b"\0"))
    edges = [8192, *(edge for place in places for edge in (place, place + (64 << 10))), size]
    return [(start, end - start) for start, end in zip(edges[::2], edges[1::2], strict=True)]
