"""Writes an OVA: a tar with an OVF descriptor first, one streamOptimized VMDK, and a SHA-256 manifest."""

from __future__ import annotations

import hashlib

from vmie_tui.services.disks.formats.ova import BLOCK
from vmie_tui.services.disks.formats.ovf_write import Hardware, OvfDisk, make_ovf, member_name, ovf_room
from vmie_tui.services.disks.formats.vmdk_write import Encoded, Mode, encode
from vmie_tui.services.disks.streams.output import Output
from vmie_tui.services.disks.streams.source import DiskSource

_OCTAL_END = 8 << 30  # from here a size needs more than the 11 octal digits of a tar header
_END = bytes(2 * BLOCK)


def tar_header(name: str, size: int) -> bytes:
    """The 512 bytes in front of a file of ``size`` bytes; sizes from 8 GiB in GNU base 256 (PAX is refused).

    ``name``: ASCII, at most 100 characters.
    """
    length = b"%011o\0" % size if size < _OCTAL_END else b"\x80" + size.to_bytes(11, "big")
    magic = b"ustar\x0000" if size < _OCTAL_END else b"ustar  \0"
    block = bytearray(name.encode("ascii")[:100].ljust(100, b"\0"))
    block += b"0000644\0" + b"0000000\0" * 2 + length + b"%011o\0" % 0 + b" " * 8 + b"0" + bytes(100) + magic
    block = block.ljust(BLOCK, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def manifest(hashes: dict[str, str]) -> bytes:
    """The ``.mf`` file: name -> SHA-256 in hex."""
    return "".join(f"SHA256({name})= {value}\n" for name, value in hashes.items()).encode("ascii")


def ova_end(name: str, hashes: dict[str, str]) -> bytes:
    """What stands behind the last disk: the manifest ``name`` with its header, and the archive's end."""
    sums = manifest(hashes)
    return tar_header(name, len(sums)) + sums + bytes(-len(sums) % BLOCK) + _END


def write_ova(source: DiskSource, out: Output, *, name: str, mode: Mode, hardware: Hardware | None = None) -> Encoded:
    """Fill ``out`` with an archive of ``source`` and an OVF made up for it; what was written of the VMDK."""
    base = member_name(name)
    ovf_name, disk_name = f"{base}.ovf", f"{base}-disk1.vmdk"
    machine = hardware or Hardware()
    room = ovf_room(name, [OvfDisk(disk_name, source.size)], machine)
    out.end = BLOCK + room + BLOCK
    digest = hashlib.sha256()

    def write(data: bytes | memoryview) -> None:
        digest.update(data)
        out.write(data)

    disk = encode(source, write, mode=mode, name=disk_name)
    ovf = make_ovf(name, [OvfDisk(disk_name, source.size, disk.bytes)], hardware=machine).ljust(room, b"\n")
    out.write_at(0, tar_header(ovf_name, len(ovf)) + ovf + tar_header(disk_name, disk.bytes))
    sums = {ovf_name: hashlib.sha256(ovf).hexdigest(), disk_name: digest.hexdigest()}
    out.write(bytes(-disk.bytes % BLOCK) + ova_end(f"{base}.mf", sums))
    return disk
