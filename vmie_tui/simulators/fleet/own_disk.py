"""Makes a restored template one machine's own disk: its size, its identifiers, its host name and its address."""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import Any

SECTOR = 512
_GPT, _ENTRIES = b"EFI PART", 32 * SECTOR  # 128 entries of 128 bytes
_EXT_MAGIC, _METADATA_CSUM = b"\x53\xef", 0x400
_NETBIOS = 15


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the machine is. ``address``: set by hand in the guest, with its prefix (10.11.4.20/20); "" for DHCP."""

    hostname: str
    address: str = ""

    @property
    def gateway(self) -> str:
        return f"{self.address.rpartition('.')[0]}.1"


def personalise(file: int, identity: Identity, slots: dict[str, Any]) -> None:
    """Overwrite the ``slots`` of the template on the open ``file`` (name -> offsets and lengths, see `guests`)."""
    for name, places in slots.items():
        kind, _, style = name.partition("/")
        for offset, length in places:
            if kind == "network" and not identity.address:
                continue  # the template asks for an address by DHCP
            content = _content(kind, style, identity)
            if len(content) > length:
                raise ValueError(f"{identity.hostname}: {len(content)} bytes do not fit the slot {name} of {length}")
            padding = b"\0" if kind in {"computer", "address", "dhcp"} else b"\n"
            os.pwrite(file, content.ljust(length, padding), offset)


def _content(kind: str, style: str, identity: Identity) -> bytes:
    match kind:
        case "hostname":
            return f"{identity.hostname}\n".encode()
        case "computer":
            return identity.hostname.upper()[:_NETBIOS].rstrip("-").encode("utf-16-le")
        case "address":
            return (identity.address.partition("/")[0] or "0.0.0.0").encode("utf-16-le")  # noqa: S104 - none is set
        case "dhcp":
            return struct.pack("<I", 0 if identity.address else 1)
    return (
        _STATIC[style]
        .format(
            address=identity.address,
            plain=identity.address.partition("/")[0],
            prefix=identity.address.partition("/")[2],
            gateway=identity.gateway,
        )
        .encode()
    )


_STATIC = {
    "ifupdown": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n"
    "  address {address}\n  gateway {gateway}\n",
    "netplan": "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses:\n        - {address}\n"
    "      routes:\n        - to: default\n          via: {gateway}\n",
    "networkmanager": "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=manual\n"
    "address1={address},{gateway}\n",
    "initscripts": 'DEVICE="eth0"\nBOOTPROTO="none"\nONBOOT="yes"\nTYPE="Ethernet"\nIPADDR="{plain}"\n'
    'PREFIX="{prefix}"\nGATEWAY="{gateway}"\n',
    "wicked": "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='{address}'\n",
    "networkd": "[Match]\nName=eth0\n\n[Network]\nAddress={address}\nGateway={gateway}\n",
}


def enlarge(file: int, seed: str) -> None:
    """Give the table on a disk that was enlarged its own identifiers and, for a GPT, its second copy at the end.

    The partitions stay as they are; what follows them is free.
    """
    size = os.fstat(file).st_size
    if os.pread(file, 8, SECTOR) == _GPT:
        _move_gpt(file, size, seed)
    elif os.pread(file, 2, 510) == b"\x55\xaa":
        os.pwrite(file, _bits(f"{seed} disk", 4), 440)


def _bits(seed: str, count: int) -> bytes:
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{seed}.disks.vmie-tui.example").bytes_le[:count]


def _move_gpt(file: int, size: int, seed: str) -> None:
    last = size // SECTOR - 1
    header = bytearray(os.pread(file, SECTOR, SECTOR))
    (old,) = struct.unpack_from("<Q", header, 32)
    table = bytearray(os.pread(file, _ENTRIES, 2 * SECTOR))
    for number in range(len(table) // 128):
        if any(table[number * 128 : number * 128 + 16]):
            table[number * 128 + 16 : number * 128 + 32] = _bits(f"{seed} {number}", 16)
    os.pwrite(file, bytes(_ENTRIES + SECTOR), (old - 32) * SECTOR)
    header[56:72] = _bits(f"{seed} disk", 16)
    struct.pack_into("<Q", header, 48, last - 33)
    struct.pack_into("<I", header, 88, zlib.crc32(table))
    for mine, other, entries in ((1, last, 2), (last, 1, last - 32)):
        struct.pack_into("<QQ", header, 24, mine, other)
        struct.pack_into("<Q", header, 72, entries)
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header[:92]))
        os.pwrite(file, header, mine * SECTOR)
        os.pwrite(file, table, entries * SECTOR)
    os.pwrite(file, struct.pack("<I", min(last, 0xFFFFFFFF)), 446 + 12)  # the protective entry covers the whole disk


def rename_volumes(file: int, seed: str) -> None:
    """New serial numbers for the file systems of a data disk: a machine may have several such disks."""
    for number, (start, length) in enumerate(_partitions(file)):
        fresh = _bits(f"{seed} volume {number}", 16)
        if os.pread(file, 8, start + 3) == b"NTFS    ":
            for boot in (start, start + length - SECTOR):
                if os.pread(file, 8, boot + 3) == b"NTFS    ":
                    os.pwrite(file, fresh[:8], boot + 0x48)
        elif os.pread(file, 2, start + 1080) == _EXT_MAGIC:
            (features,) = struct.unpack("<I", os.pread(file, 4, start + 1024 + 0x64))
            if not features & _METADATA_CSUM:  # else everything carries a checksum with the UUID in it
                for block in _superblocks(file, start):
                    os.pwrite(file, fresh, block + 0x68)


def _superblocks(file: int, start: int) -> list[int]:
    """Where an ext file system of 4 KiB blocks keeps its superblock and the copies (sparse_super), in bytes."""
    total, per_group = (struct.unpack("<I", os.pread(file, 4, start + 1024 + at))[0] for at in (0x04, 0x20))
    groups = -(-total // per_group)
    copies = sorted({1, *(base**power for base in (3, 5, 7) for power in range(1, 12))})
    return [start + 1024, *(start + group * per_group * 4096 for group in copies if group < groups)]


def _partitions(file: int) -> list[tuple[int, int]]:
    """Offset and length in bytes of every partition of a GPT or an MBR."""
    if os.pread(file, 8, SECTOR) == _GPT:
        table = os.pread(file, _ENTRIES, 2 * SECTOR)
        used = [table[at : at + 128] for at in range(0, len(table), 128) if any(table[at : at + 16])]
        spans = [struct.unpack_from("<QQ", entry, 32) for entry in used]
        return [(first * SECTOR, (last - first + 1) * SECTOR) for first, last in spans]
    boot = os.pread(file, SECTOR, 0)
    spans = [struct.unpack_from("<II", boot, at + 8) for at in range(446, 510, 16) if boot[at + 4]]
    return [(first * SECTOR, count * SECTOR) for first, count in spans]
