"""Writes an OVA: a tar with an OVF descriptor first, one streamOptimized VMDK, and a SHA-256 manifest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from vmie_tui.services.disks.output import Output
from vmie_tui.services.disks.ova import BLOCK
from vmie_tui.services.disks.source import DiskSource
from vmie_tui.services.disks.vmdk_write import Encoded, Mode, encode

_OCTAL_END = 8 << 30  # from here a size needs more than the 11 octal digits of a tar header
ROOM = 8192  # the OVF stands in front of the disk, whose size it names: it gets a place of fixed size
_END = bytes(2 * BLOCK)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Hardware:
    """The least a virtual machine needs; an import into EC2 takes its own instance type instead."""

    cpus: int = 1
    memory_mib: int = 2048
    firmware: str = "bios"  # or efi


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


def member_name(text: str) -> str:
    """A name that every tar and OVF reader takes: ASCII letters, digits, dot, dash; up to 80 characters."""
    return _UNSAFE.sub("_", text).strip("._")[:80] or "disk"


def manifest(hashes: dict[str, str]) -> bytes:
    """The ``.mf`` file: name -> SHA-256 in hex."""
    return "".join(f"SHA256({name})= {value}\n" for name, value in hashes.items()).encode("ascii")


def make_ovf(name: str, disk: str, *, file_size: int, capacity: int, hardware: Hardware) -> bytes:
    """An OVF 1.1 envelope of one machine with one disk. ``capacity``: bytes of the disk."""
    shown, href = escape("".join(sign for sign in name if sign.isprintable())), quoteattr(disk)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"\
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"\
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"\
 xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:href={href} ovf:id="file1" ovf:size="{file_size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:diskId="vmdisk1" ovf:fileRef="file1"\
 ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id={quoteattr(member_name(name))}>
    <Info>A virtual machine</Info>
    <Name>{shown}</Name>
    <OperatingSystemSection ovf:id="1">
      <Info>The guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{shown}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>
      </System>
{_item(1, 3, f"{hardware.cpus} virtual CPU(s)", VirtualQuantity=hardware.cpus)}
{_item(2, 4, f"{hardware.memory_mib} MB of memory", AllocationUnits="byte * 2^20", VirtualQuantity=hardware.memory_mib)}
{_item(3, 6, "SCSI controller 0", Address=0, ResourceSubType="lsilogic")}
{_item(4, 17, "Hard disk 1", AddressOnParent=0, HostResource="ovf:/disk/vmdisk1", Parent=3)}
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value={quoteattr(hardware.firmware)}/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""".encode()


def _item(number: int, kind: int, name: str, **values: str | int) -> str:
    """One device; the standard wants its elements in alphabetical order."""
    fields: dict[str, str | int] = {"ElementName": name, "InstanceID": number, "ResourceType": kind, **values}
    inner = "".join(f"<rasd:{key}>{fields[key]}</rasd:{key}>" for key in sorted(fields))
    return f"      <Item>{inner}</Item>"


def write_ova(source: DiskSource, out: Output, *, name: str, mode: Mode, hardware: Hardware | None = None) -> Encoded:
    """Fill ``out`` with an archive of ``source`` and an OVF made up for it; what was written of the VMDK."""
    base = member_name(name)
    ovf_name, disk_name = f"{base}.ovf", f"{base}-disk1.vmdk"
    disk_at = BLOCK + ROOM + BLOCK
    out.end = disk_at
    digest = hashlib.sha256()

    def write(data: bytes | memoryview) -> None:
        digest.update(data)
        out.write(data)

    disk = encode(source, write, mode=mode, name=disk_name)
    capacity = -(-source.size // BLOCK) * BLOCK
    ovf = make_ovf(
        name[:200], disk_name, file_size=disk.bytes, capacity=capacity, hardware=hardware or Hardware()
    ).ljust(ROOM, b"\n")
    out.write_at(0, tar_header(ovf_name, len(ovf)) + ovf + tar_header(disk_name, disk.bytes))
    sums = manifest({ovf_name: hashlib.sha256(ovf).hexdigest(), disk_name: digest.hexdigest()})
    out.write(
        bytes(-disk.bytes % BLOCK) + tar_header(f"{base}.mf", len(sums)) + sums + bytes(-len(sums) % BLOCK) + _END
    )
    return disk
