"""Deployment: creates a virtual machine in vCenter, streaming its disks from wherever they are.

Everything is held by an import lease until the last byte is proven; whatever happens before, vCenter removes the
machine. The notes carry a mark while it is unfinished, by which one that a killed process left is known and removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import DeployTarget
from vmie_tui.model.machine import Firmware
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.disks.feeds import disk_feed as feeds
from vmie_tui.services.disks.formats.ovf import Ovf
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import DiskSource
from vmie_tui.services.vsphere.config_spec import CPUS, GUEST_ID, MEMORY_MIB, NewHardware, config_spec, network_backing
from vmie_tui.services.vsphere.inventory_paths import escaped
from vmie_tui.services.vsphere.nfc.import_lease import ImportLease
from vmie_tui.services.vsphere.nfc.orphaned_leases import end_own_imports
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.sdk import vim
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tasks import wait_task

UNFINISHED = "Being written by vmie-tui, unfinished:"
_DEPTH = 64
_NO_CHUNKS = frozenset({"411", "500", "501"})  # HTTP statuses by which hosts refuse a disk sent in chunks


class DeployControl(Protocol):
    """How a deployment is stopped and followed: as `TransferControl`, for all disks by their numbers, from 0."""

    def check(self) -> None:
        """Called often; raises to end the deployment now."""

    def on_stop(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        """While inside, ``callback`` is called when the deployment is to end: for what blocks in a socket."""

    def moved(self, number: int, nbytes: int) -> None:
        """``nbytes`` more of the disk have reached the host."""

    def covered(self, number: int, offset: int) -> None:
        """The disk has been read up to this byte."""

    def finished(self, number: int, size: int) -> None:
        """The whole disk has arrived, in this many bytes."""


@dataclass(frozen=True, slots=True)
class DeployedDisk:
    """``bytes`` of the VMDK sent, its SHA-256, and by which checksum of the host's it was ``proven`` ("": none)."""

    name: str
    capacity: int
    bytes: int
    sha256: str
    proven: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """The machine that was made; ``found``: it was there, finished, from an earlier attempt under the same mark.

    ``noted``: its notes say that it is finished; not so where the account may not write them.
    """

    moid: str
    name: str
    disks: tuple[DeployedDisk, ...] = ()
    found: bool = False
    noted: bool = True


def hardware_of(target: DeployTarget, ovf: Ovf | None = None) -> NewHardware:
    """What the target says; what it leaves open as the OVF says, else something modest."""
    known = ovf or Ovf(cpus=CPUS, memory_mib=MEMORY_MIB)
    return NewHardware(
        cpus=target.cpus or known.cpus,
        memory_mib=target.memory_mib or known.memory_mib,
        guest_id=target.guest_id or known.guest_id or GUEST_ID,
        uefi=target.uefi or known.firmware is Firmware.UEFI,
        secure_boot=known.secure_boot,
    )


def deploy(
    vsphere: VSphere,
    target: DeployTarget,
    disks: Sequence[tuple[str, DiskSource]],
    hardware: NewHardware,
    *,
    mark: str,
    control: DeployControl,
) -> Deployed:
    """Creates the machine with these disks (name, content), boot disk first.

    ``mark``: a word of the caller's own, the same at each attempt: a machine that carries it is not made twice, and one
    left unfinished under it is removed first. Raises ServiceError, after which there is no machine, unless only its
    notes could not be written; and what ``control.check`` raises.
    """
    if not disks:
        raise ServiceError(ErrorKind.INVALID, "there is no disk to deploy", subject=target.name)
    vsphere.policy.check_vsphere("ImportVApp")
    target = replace(target, folder=target.folder or default_folder(vsphere, target.resource_pool))
    done = settle_earlier(vsphere, target, mark)
    if done is not None:
        return done
    store = _datastore(vsphere, target, disks)
    spec = config_spec(
        target.name,
        hardware,
        [source.size for _, source in disks],
        datastore=store,
        network=network_backing(vsphere, target.network),
        annotation=f"{UNFINISHED} {mark}",
    )
    try:
        moid, sent = _import(vsphere, target, spec, disks, control, measured=False)
    except ServiceError as error:
        if error.problem.code not in _NO_CHUNKS:
            raise
        settle_earlier(vsphere, target, mark)  # where vCenter is slow to remove the first
        moid, sent = _import(vsphere, target, spec, disks, control, measured=True)
    noted = True
    try:
        finish(vsphere, moid, target.name, mark)
    except ServiceError as error:
        if error.kind is not ErrorKind.PERMISSION:
            raise
        noted = False
    return Deployed(moid, target.name, sent, noted=noted)


def _import(
    vsphere: VSphere,
    target: DeployTarget,
    spec: Any,
    disks: Sequence[tuple[str, DiskSource]],
    control: DeployControl,
    *,
    measured: bool,
) -> tuple[str, tuple[DeployedDisk, ...]]:
    """(the new machine's id, what was sent). ``measured``: the disks are read once more, to tell their size."""
    control.check()
    sizes = [_measure(number, source, control) if measured else None for number, (_, source) in enumerate(disks)]
    try:
        with ImportLease(vsphere, target, spec, target.folder) as lease, control.on_stop(lease.interrupt):
            sent = _send_all(lease, disks, sizes, control)
            control.check()
            lease.complete()
    except ServiceError:
        control.check()  # an upload that `interrupt` broke off is no error of the network
        raise
    return lease.moid, sent


def _measure(number: int, source: DiskSource, control: DeployControl) -> int:
    """Bytes that the disk has as VMDK: each time it is made the same."""

    def look(_: object) -> None:
        control.check()

    return encode(source, look, name=_file(number)).bytes


def _file(number: int) -> str:
    return f"disk-{number}.vmdk"


def _send_all(
    lease: ImportLease,
    disks: Sequence[tuple[str, DiskSource]],
    sizes: Sequence[int | None],
    control: DeployControl,
) -> tuple[DeployedDisk, ...]:
    if len(lease.disks) != len(disks):
        raise ServiceError(
            ErrorKind.REMOTE,
            f"vCenter asks for {len(lease.disks)} disks where there are {len(disks)}",
            subject=lease.moid,
            remedy="Report this with the version of vCenter",
        )
    whole, done = sum(source.size for _, source in disks) or 1, 0
    sent: list[DeployedDisk] = []
    for number, ((name, source), place) in enumerate(zip(disks, lease.disks, strict=True)):

        def tell(nbytes: int, number: int = number) -> None:
            control.check()
            lease.check()
            control.moved(number, nbytes)

        def data(offset: int, part: memoryview, number: int = number, before: int = done) -> None:
            control.covered(number, offset + len(part))
            lease.progress((before + offset + len(part)) / whole)

        with feeds.disk_feed(source, UploadFormat.VMDK, name=_file(number), on_data=data) as feed:
            went = lease.send(place, feed, tell, sizes[number])
        done += source.size
        control.finished(number, went.bytes)
        sent.append(DeployedDisk(name, source.size, went.bytes, went.sha256, went.proven))
    return tuple(sent)


def _datastore(vsphere: VSphere, target: DeployTarget, disks: Sequence[tuple[str, DiskSource]]) -> str:
    """The datastore's name; refused when the data surely does not fit."""
    store = vsphere.object(vim.Datastore, target.datastore)
    found = vsphere.call(
        lambda: properties(vsphere, store, "name", "summary"), subject=target.datastore, doing="reading the datastore"
    )
    summary = found["summary"]
    if not summary.accessible:
        raise ServiceError(ErrorKind.REMOTE, "the datastore is not accessible", subject=found["name"])
    check_room(found["name"], int(summary.freeSpace), sum(_data(source) for _, source in disks))
    return str(found["name"])


def _data(source: DiskSource) -> int:
    return min(source.size, sum(length for _, length in source.extents()))


def check_room(name: str, free: int, wanted: int) -> None:
    """Raises ServiceError REFUSED if ``wanted`` bytes exceed the ``free`` ones of a datastore."""
    if wanted > free:
        raise ServiceError(
            ErrorKind.REFUSED,
            f"the datastore has {free / 2**30:.1f} GiB free, the disks may need {wanted / 2**30:.1f} GiB",
            subject=name,
            remedy="Choose another datastore or free space on it",
            code="NoDiskSpace",
        )


def look_at_target(vsphere: VSphere, target: DeployTarget, mark: str) -> None:
    """Raises ServiceError if the machine cannot be created: read-only, a place no longer exists, the name is taken."""
    vsphere.policy.check_vsphere("ImportVApp")
    folder = target.folder or default_folder(vsphere, target.resource_pool)
    _datastore(vsphere, target, ())
    network_backing(vsphere, target.network)
    find_marked(vsphere, target.name, folder, mark)


# -- what an earlier attempt left ---------------------------------------------------------------------------------


def settle_earlier(vsphere: VSphere, target: DeployTarget, mark: str) -> Deployed | None:
    """The finished machine of this mark, if there is one; an unfinished one is removed.

    Raises ServiceError CONFLICT for a machine of that name that somebody else made.
    """
    folder = target.folder or default_folder(vsphere, target.resource_pool)
    found = find_marked(vsphere, target.name, folder, mark)
    if found is None:
        return None
    machine, unfinished = found
    if not unfinished:
        return Deployed(machine._moId, target.name, found=True)
    remove(vsphere, machine, target)
    return None


def find_marked(vsphere: VSphere, name: str, folder: str, mark: str) -> tuple[Any, bool] | None:
    """(the machine, whether it is unfinished) of this name that carries the mark; None when the name is free.

    Raises ServiceError CONFLICT when the machine of that name carries another mark or none.
    """
    doing = "looking for a machine of that name"
    home = vsphere.object(vim.Folder, folder)
    search = vsphere.content.searchIndex
    found = vsphere.call(lambda: search.FindChild(home, escaped(name)), subject=name, doing=doing)
    if found is None:
        return None
    if isinstance(found, vim.VirtualMachine):
        try:
            notes = vsphere.call(
                lambda: properties(vsphere, found, "config.annotation"), subject=name, doing=doing
            ).get("config.annotation", "")
        except ServiceError as error:
            if error.kind is ErrorKind.NOT_FOUND:  # it went meanwhile
                return None
            raise
        if mark and mark in notes.split():
            return found, notes.startswith(UNFINISHED)
    raise ServiceError(
        ErrorKind.CONFLICT,
        "something of that name is already in the folder",
        subject=name,
        remedy="Choose another name or folder",
        code="DuplicateName",
    )


def remove(vsphere: VSphere, machine: Any, target: DeployTarget) -> None:
    """Deletes a machine of ours that is off, and the import that may still hold it. Raises ServiceError."""
    try:
        _remove(vsphere, machine, target)
    except ServiceError as error:
        if error.kind is not ErrorKind.NOT_FOUND:  # vCenter was faster
            raise


def _remove(vsphere: VSphere, machine: Any, target: DeployTarget) -> None:
    doing = "deleting the machine"
    state = vsphere.call(lambda: properties(vsphere, machine, "runtime.powerState"), subject=target.name, doing=doing)
    if state.get("runtime.powerState") != "poweredOff":
        raise ServiceError(
            ErrorKind.CONFLICT,
            "the machine is on and so is not deleted",
            subject=target.name,
            remedy="Switch it off and delete it",
        )
    end_own_imports(vsphere, target.resource_pool, machine._moId)
    task = vsphere.call(machine.Destroy_Task, subject=target.name, doing=doing)
    wait_task(vsphere, task, subject=target.name, doing=doing)


def finish(vsphere: VSphere, moid: str, name: str, mark: str) -> None:
    """Marks the machine as complete in its notes. Raises ServiceError."""
    doing = "writing the machine's notes"
    machine = vsphere.object(vim.VirtualMachine, moid)
    spec = vim.vm.ConfigSpec(annotation=f"Made by vmie-tui: {mark}")
    task = vsphere.call(lambda: machine.ReconfigVM_Task(spec), subject=name, doing=doing)
    wait_task(vsphere, task, subject=name, doing=doing)


def default_folder(vsphere: VSphere, pool: str) -> str:
    """The VM folder of the datacenter that a resource pool belongs to. Raises ServiceError."""
    node, doing = vsphere.object(vim.ResourcePool, pool), "looking for the datacenter"
    for _ in range(_DEPTH):
        if isinstance(node, vim.Datacenter):
            found = vsphere.call(lambda: properties(vsphere, node, "vmFolder"), subject=pool, doing=doing)  # noqa: B023
            return str(found["vmFolder"]._moId)
        above = vsphere.call(lambda: properties(vsphere, node, "parent"), subject=pool, doing=doing)  # noqa: B023
        if above.get("parent") is None:
            break
        node = above["parent"]
    raise ServiceError(ErrorKind.NOT_FOUND, "the resource pool belongs to no datacenter", subject=pool)
