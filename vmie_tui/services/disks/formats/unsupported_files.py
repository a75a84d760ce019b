"""Recognises files that are not supported disk images: archives, compressed files, foreign images, CDs, text.

A RAW disk has no magic number of its own, so bytes are taken for one only when they are nothing known, and when their
name promises nothing else.
"""

from __future__ import annotations

import re
import struct

from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, documented, one_of_many, truncated
from vmie_tui.services.disks.formats.ova import ReadAt

SECTOR = 512
_HEAD = 64 << 10  # one block of a budgeted reader; the signature of a CD is in it

_UNPACK = "Unpack it, and give the disk image that is in it"
_QEMU = "Convert it to RAW or streamOptimized VMDK with qemu-img first"
_EXPORT = "Restore or export it to RAW or VMDK with the program that made it"
_OTHER = "Give the disk image itself"

# (byte, signature, what the file is, what to do)
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x1f\x8b\x08", "is compressed (gzip)", _UNPACK),
    (0, b"\xfd7zXZ\0", "is compressed (xz)", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "is compressed (zstd)", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "is compressed (lz4)", _UNPACK),
    (0, b"\x02\x21\x4c\x18", "is compressed (lz4)", _UNPACK),
    (0, b"LZIP\x01", "is compressed (lzip)", _UNPACK),
    (0, b"LRZI", "is compressed (lrzip)", _UNPACK),
    (0, b"\x89LZO\0\r\n\x1a\n", "is compressed (lzop)", _UNPACK),
    (0, b"\x1f\x9d\x90", "is compressed (compress)", _UNPACK),
    (0, b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff", "is compressed (lzma)", _UNPACK),
    (0, b"PK\x03\x04", "is a ZIP archive", _UNPACK),
    (0, b"PK\x05\x06", "is a ZIP archive", _UNPACK),
    (0, b"PK\x07\x08", "is a ZIP archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "is a RAR archive", _UNPACK),
    (0, b"MSCF\0\0\0\0", "is a cabinet archive", _UNPACK),
    (0, b"xar!", "is a xar archive", _UNPACK),
    (0, b"!<arch>\n", "is an ar archive", _UNPACK),
    (0, b"070701", "is a cpio archive", _UNPACK),
    (0, b"070707", "is a cpio archive", _UNPACK),
    (0, b"MSWIM\0\0\0", "is a Windows image (WIM), files without a disk", _OTHER),
    (0, b"QED\0", "is a QED image", _QEMU),
    (0, b"WithoutFreeSpace", "is a Parallels image", _QEMU),
    (0, b"WithouFreSpacExt", "is a Parallels image", _QEMU),
    (0, b"Bochs Virtual HD Image", "is a Bochs image", _QEMU),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "is a compressed loop image (cloop)", _QEMU),
    (0, b"\x3a\xff\x26\xed", "is an Android sparse image", "Convert it with simg2img first"),
    (0, b"EVF\t\r\n\xff\0", "is an EnCase image (E01)", _EXPORT),
    (0, b"LVF\t\r\n\xff\0", "is an EnCase image (L01)", _EXPORT),
    (0, b"EVF2\r\n\x81\0", "is an EnCase image (Ex01)", _EXPORT),
    (0, b"LEF2\r\n\x81\0", "is an EnCase image (Lx01)", _EXPORT),
    (0, b"AFF10\r\n\0", "is an AFF image", _EXPORT),
    (0, b"sprs", "is a macOS sparse image", "Convert it with hdiutil first (hdiutil convert -format UDTO)"),
    (0, b"encrcdsa", "is an encrypted macOS image", "Decrypt it with hdiutil first"),
    (0, b"\xfe\xef\x01", "is a Ghost image", _EXPORT),
    (0, b"\xb4\x6e\x68\x44", "is an Acronis image", _EXPORT),
    (0, b"LUKS\xba\xbe", "is encrypted (LUKS)", "Decrypt it first"),
    (0, b"\x00\x05\x16\x07", "is an AppleDouble file: what macOS stores about another file", _OTHER),
    (0, b"\x00\x05\x16\x00", "is an AppleSingle file", _OTHER),
    (0, b"\xd0\xbe\xd2\xbe", "is the state of a VMware VM (vmss, vmsn), not a disk", _OTHER),
    (0, b"\xd1\xbe\xd2\xbe", "is the state of a VMware VM (vmss, vmsn), not a disk", _OTHER),
    (0, b"\xd2\xbe\xd2\xbe", "is the state of a VMware VM (vmss, vmsn), not a disk", _OTHER),
    (0, b"MRVN", "is the NVRAM of a VMware VM, not a disk", _OTHER),
    (0, b"\x7fELF", "is a program (ELF), not a disk image", _OTHER),
    (0, b"%PDF-", "is a document (PDF), not a disk image", _OTHER),
    (0, b"\x89PNG\r\n\x1a\n", "is a picture (PNG), not a disk image", _OTHER),
    (0, b"SQLite format 3\0", "is a database (SQLite), not a disk image", _OTHER),
    (0, b"\xed\xab\xee\xdb", "is a package (RPM), not a disk image", _OTHER),
)
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a frame that zstd and lz4 files may begin with
_TEXT = re.compile(rb"[\t\n\f\r\x20-\x7e\x80-\xff]{16,}")
_PIECE = re.compile(r"-[fs][0-9]{3,}\.vmdk\Z", re.IGNORECASE)
_SUFFIXES = """\
vmdk vhd vhdx avhd avhdx ova ovf qcow qcow2 qed vdi hdd hds dmg sparseimage iso nrg e01 ex01 l01 aff aff4 wim esd
gho tib tibx xva gz tgz xz txz lzma bz2 tbz tbz2 zst zstd lz4 lz lzo z zip 7z rar tar cab cpio rpm deb
vmsn vmss vmem vmx vmsd nvram mf cert xml pdf"""
_PROMISES = frozenset(_SUFFIXES.split())
_HYBRID = 64  # sectors: up to here the first partition of a CD begins that also starts from a USB stick


class ForeignError(DiskFormatError):
    """A file of a recognised but unsupported kind (kind INVALID)."""


def foreign(what: str, remedy: str = _QEMU) -> ForeignError:
    """``what`` completes a sentence that begins with the file's name; AWS has words for disk images (E01)."""
    known = documented("E01") if remedy in {_QEMU, _EXPORT} else {}
    return ForeignError(ErrorKind.INVALID, what, remedy=remedy, **known)


def check_raw(read_at: ReadAt, size: int, name: str = "") -> None:
    """Refuse what is no RAW disk: ``size`` bytes that are no image read here, in a file, member or object ``name``.

    Reads the first 64 KiB and the last sector. Raises `ForeignError` for what is known to be something else, and
    ``DiskFormatError`` for a name that promises a format which the bytes are not: CORRUPT (``retry_safe``), or INVALID
    for one extent of several.
    """
    head = read_at(0, min(size, _HEAD))
    tail = read_at(size - SECTOR, SECTOR) if size >= SECTOR else b""
    for offset, signature, what, remedy in _SIGNATURES:
        if head.startswith(signature, offset):
            raise foreign(what, remedy)
    if _BZIP2.match(head):
        raise foreign("is compressed (bzip2)", _UNPACK)
    if _SKIPPABLE.match(head):
        raise foreign("is compressed (zstd or lz4)", _UNPACK)
    if tail.startswith(b"koly"):
        raise foreign("is a macOS disk image (DMG)", "Convert it with hdiutil or qemu-img first")
    if tail.endswith(b"cdsaencr"):
        raise foreign("is an encrypted macOS image", "Decrypt it with hdiutil first")
    if _is_text(head[:4096]):
        raise foreign("is a text file, not a disk image", "Give a disk image")
    if kind := _optical(head):
        raise foreign(f"is a CD or DVD ({kind}), not a disk", "Install a system from it, and give the disk it is on")
    _check_name(name)


def _check_name(name: str) -> None:
    last = name.rpartition("/")[2].lower()
    if found := _PIECE.search(last[-32:]):
        raise one_of_many(f"its name ends with {found[0]}")
    if last.endswith("-ctk.vmdk"):
        raise foreign("is VMware's list of changed blocks, not a disk", "Give the disk's other .vmdk files")
    suffix = last.rpartition(".")[2] if "." in last else ""
    if suffix in _PROMISES and not last.endswith("-flat.vmdk"):
        raise truncated(f"it is named .{suffix}, but is none: it was not received whole, or has the wrong name")


def _is_text(head: bytes) -> bool:
    if _TEXT.fullmatch(head):
        return head.count(0xFF) < len(head)  # flash memory that was erased
    for codec, mark, high in (("utf-16-le", b"\xff\xfe", head[1:64:2]), ("utf-16-be", b"\xfe\xff", head[:64:2])):
        if head.startswith(mark) or (len(head) >= 16 and not any(high)):
            words = head[: len(head) // 2 * 2].decode(codec, "replace").removeprefix("\ufeff")
            return bool(words) and all(each.isprintable() or each in "\t\n\r" for each in words[:-1])
    return False


def _optical(head: bytes) -> str:
    """The kind of a CD; "" also where its signature is left in front of the partitions of a disk."""
    mark = head[0x8001:0x8006]
    if head.startswith(b"\0" + b"\xff" * 10 + b"\0"):
        return "raw sectors"
    if mark not in {b"CD001", b"BEA01", b"CDW02"} or _first_partition(head) > _HYBRID:
        return ""
    return "ISO 9660" if mark == b"CD001" else "UDF"


def _first_partition(head: bytes) -> int:
    """The sector where the first one begins; 0 without any."""
    if head[510:512] != b"\x55\xaa":
        return 0
    entries = [struct.unpack_from("<4xB3xII", head, 446 + 16 * number) for number in range(4)]
    starts = [start for kind, start, count in entries if kind and count]
    if any(kind == 0xEE for kind, _, _ in entries) and head[512:520] == b"EFI PART":
        places = [
            struct.unpack_from("<Q", head, at + 32)[0] for at in range(1024, 17 * 1024, 128) if any(head[at : at + 16])
        ]
        starts = [start for start in places if start]
    return min(starts, default=0)
