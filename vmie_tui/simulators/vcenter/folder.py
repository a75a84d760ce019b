"""Files on datastores over ``/folder``: descriptors and flat extents, with ranges."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import BinaryIO

from pyVmomi import vim

from vmie_tui.simulators.vcenter.machine import Machine, VmDisk
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center

SECTOR = 512
HOST_DATACENTER = "ha-datacenter"


class RefusedError(Exception):
    """An HTTP status that is not success, with its text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Found:
    """What a path names: an open file on this machine, which the caller closes, or bytes."""

    size: int
    file: BinaryIO


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(first, end) of a Range header, None for the whole; raises RefusedError 416 for one outside."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    if first >= end:
        raise RefusedError(416, "Requested Range Not Satisfiable")
    return first, end


def unescaped(name: str) -> str:
    """A name without the escapes that vCenter writes for %, / and \\; one that has none is left as it is."""
    return re.sub(r"%(25|2[fF]|5[cC])", lambda found: chr(int(found[1], 16)), name)


class Folders:
    """Looks files up."""

    def __init__(self, center: Center) -> None:
        self._center = center

    def find(self, path: str, datacenter: str, datastore: str, host: Managed | None = None) -> Found:
        """The file at ``path`` (``folder/name.vmdk``) as vCenter serves it, or ``host`` itself.

        Raises RefusedError 403, 404 or 500.
        """
        with self._center.registry.lock:
            store = self._store(datacenter, datastore) if host is None else self._local(host, datacenter, datastore)
            if not self._center.privileges.held("Datastore.Browse", store):
                raise RefusedError(403, "Forbidden")
            if store.value("summary").type in ("vsan", "VVOL"):
                raise RefusedError(404, "Not Found")
            for managed in self._center.registry.objects.values():
                if isinstance(managed, Machine) and managed.home == path.partition("/")[0]:
                    for disk in managed.disks:
                        found = self._match(managed, disk, store, f"[{store.name}] {path}", host)
                        if found is not None:
                            return found
        raise RefusedError(404, "Not Found")

    def _store(self, datacenter: str, datastore: str) -> Managed:
        """By the datacenter's path from the root: folders count, and a name alone is one in no folder."""
        wanted = [unescaped(part) for part in datacenter.strip("/").split("/")]
        for managed in self._center.registry.objects.values():
            if managed.is_a(vim.Datastore) and managed.name == datastore:
                site = next(node for node in managed.up() if node.is_a(vim.Datacenter))
                path = [unescaped(node.name) for node in site.up() if node.parent is not None]
                if path[::-1] == wanted:
                    return managed
        raise RefusedError(404, "Not Found")

    def _local(self, host: Managed, datacenter: str, datastore: str) -> Managed:
        """On an ESXi host, whose only datacenter is ha-datacenter."""
        stores = (self._center.registry.objects.get(ref._moId) for ref in host.value("datastore"))
        found = next((one for one in stores if one is not None and one.name == datastore), None)
        if datacenter != HOST_DATACENTER or found is None:
            raise RefusedError(404, "Not Found")
        return found

    def _match(self, machine: Machine, disk: VmDisk, store: Managed, full: str, host: Managed | None) -> Found | None:
        if disk.datastore is not store:
            return None
        if full == disk.file_name:
            text = descriptor(disk).encode()
            return Found(len(text), io.BytesIO(text))
        if full != disk.file_name.removesuffix(".vmdk") + "-flat.vmdk":
            return None
        first = machine.roots[0].held.get(disk.key) if machine.roots else None
        if first is None and machine.power == "poweredOn":
            raise RefusedError(500, "Internal Server Error: the file is locked")
        if machine.lock_owner and machine.power == "poweredOn" and host is not machine.host:
            raise RefusedError(500, "Internal Server Error: another host owns the lock")
        generation = disk.content.generation if first is None else first.generation
        with disk.content.held(generation) as path:
            return Found(disk.capacity, path.open("rb"))


def descriptor(disk: VmDisk) -> str:
    """The text of a flat disk's descriptor file."""
    sectors = disk.capacity // SECTOR
    flat = disk.file_name.rsplit("/", 1)[-1].removesuffix(".vmdk") + "-flat.vmdk"
    adapter = "ide" if disk.spec.controller == "ide" else "lsilogic"
    lines = (
        "# Disk DescriptorFile",
        "version=1",
        'encoding="UTF-8"',
        "CID=fffffffe",
        "parentCID=ffffffff",
        'createType="vmfs"',
        "",
        "# Extent description",
        f'RW {sectors} VMFS "{flat}"',
        "",
        "# The Disk Data Base",
        "#DDB",
        "",
        f'ddb.adapterType = "{adapter}"',
        f'ddb.geometry.cylinders = "{max(1, sectors // (255 * 63))}"',
        'ddb.geometry.heads = "255"',
        'ddb.geometry.sectors = "63"',
        f'ddb.thinProvisioned = "{int(disk.spec.thin)}"',
        f'ddb.uuid = "{bytes.fromhex(disk.ident.replace("-", "")).hex(" ")}"',
        'ddb.virtualHWVersion = "19"',
    )
    return "\n".join(lines) + "\n"
