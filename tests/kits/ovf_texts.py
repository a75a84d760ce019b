"""Small OVF packages for tests: descriptors, and archives in any dialect of tar."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence

_HEAD = (
    '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" '
    'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" '
    'xmlns:vbox="http://www.virtualbox.org/ovf/machine" xmlns:vmw="http://www.vmware.com/schema/ovf">'
)


def item(kind: int, configuration: str = "", bound: str = "", **fields: object) -> str:
    """A hardware item of a CIM resource type; fields without a value are left out."""
    said = f' ovf:configuration="{configuration}"' if configuration else ""
    said += f' ovf:bound="{bound}"' if bound else ""
    inner = {**fields, "ResourceType": kind}
    return (
        f"<Item{said}>"
        + "".join(f"<rasd:{k}>{v}</rasd:{k}>" for k, v in sorted(inner.items()) if v not in {"", None})
        + "</Item>"
    )


def disk_item(
    disk: str,
    address: object,
    *,
    parent: int | None = 3,
    ident: int | None = None,
    host: str = "",
    configuration: str = "",
) -> str:
    return item(
        17,
        configuration,
        AddressOnParent=address,
        ElementName=f"Disk {address}",
        HostResource=host or f"ovf:/disk/{disk}",
        InstanceID=ident or "",
        Parent=parent,
    )


def ovf_text(
    items: Sequence[str],
    names: Sequence[str] = (),
    *,
    front: str = "",
    tail: str = "",
    extra: Mapping[str, str] | None = None,
    sizes: Mapping[str, object] | None = None,
    capacity: int = 8,
    file_extra: str = "",
) -> bytes:
    """A descriptor whose disks d1, d2, … have the files f1, f2, … of these names; none for an empty name."""
    extra, sizes = extra or {}, sizes or {}
    files, disks = "", ""
    for number, name in enumerate(names, 1):
        size = f' ovf:size="{sizes[name]}"' if name in sizes else ""
        files += f'<File ovf:id="f{number}" ovf:href="{name}"{size} {file_extra}/>' if name else ""
        ref = f' ovf:fileRef="f{number}"' if name else ""
        disks += f'<Disk ovf:diskId="d{number}" ovf:capacity="{capacity}"{ref} {extra.get(f"d{number}", "")}/>'
    return (
        f"{_HEAD}<References>{files}</References><DiskSection><Info/>{disks}</DiskSection>{front}"
        f'<VirtualSystem ovf:id="vm"><Info/><Name>vm</Name><VirtualHardwareSection><Info/>{"".join(items)}'
        f"</VirtualHardwareSection>{tail}</VirtualSystem></Envelope>"
    ).encode()


def tar_of(
    members: Sequence[tuple[str, bytes | None]],
    *,
    dialect: int = tarfile.USTAR_FORMAT,
    link: tuple[str, bytes] | None = None,
) -> bytes:
    """An archive; None for a folder. ``link``: a last member that is a link (name, `tarfile` type) to the first."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dialect) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            info.size = len(data or b"")
            archive.addfile(info, io.BytesIO(data or b""))
        if link:
            info = tarfile.TarInfo(link[0])
            info.type, info.linkname = link[1], members[0][0]
            archive.addfile(info)
    return out.getvalue()


def v7(archive: bytes) -> bytes:
    """The same ustar archive as the tar of Unix version 7 wrote it: no magic, no prefix, type NUL."""
    out, at = bytearray(archive), 0
    while out[at]:
        size = int(out[at + 124 : at + 135], 8)
        header = out[at : at + 148] + b" " * 8 + b"\0" + out[at + 157 : at + 257] + bytes(255)
        header[148:156] = b"%06o\0 " % sum(header)
        out[at : at + 512] = header
        at += 512 + -(-size // 512) * 512
    return bytes(out)
