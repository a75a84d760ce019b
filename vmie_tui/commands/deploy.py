"""``vmie-tui deploy``: a disk image, here or in S3, becomes a machine in vCenter; its options are export's too."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.convert import Meter, terminated_is_interrupted
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.model.deploy_places import DeployChoice, DeployNames, choose_place
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import FileSource, ObjectSource
from vmie_tui.operations.sources import parse_source
from vmie_tui.operations.vcenter import VCenter
from vmie_tui.services.deploy_source import open_deployable
from vmie_tui.services.vsphere.deploy import deploy, hardware_of
from vmie_tui.services.vsphere.power import power_on

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--pool", metavar="POOL", help="Cluster or resource pool of the new VM: a name, path or id."),
    click.option("--datastore", metavar="NAME", help="Where its disks go; needed where the pool can use several."),
    click.option("--folder", metavar="FOLDER", help="Of the VM, such as Prod/Web; the datacenter's own."),
    click.option("--network", metavar="NAME", help="That its network card is joined to; without it has none."),
    click.option("--host", metavar="NAME", help="To put it on; vCenter's choice."),
    click.option("--cpus", type=click.IntRange(1, 768), help="Processors; as the OVF says, else 2."),
    click.option("--memory", type=click.IntRange(4), metavar="MIB", help="Memory; as the OVF says, else 4096."),
    click.option("--guest-id", metavar="ID", help="vSphere's name of the guest, such as rhel9_64Guest."),
    click.option("--uefi", is_flag=True, help="Boot by UEFI; told by an OVF, and by the image in AWS."),
    click.option("--power-on", is_flag=True, help="Switch the new VM on."),
)
NAMES = ("pool", "datastore", "folder", "network", "host", "cpus", "memory", "guest_id", "uefi", "power_on")


def target_options(command: F) -> F:
    """Where a new machine goes and what it is, as options of a command; by `NAMES`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_place(vcenter: VCenter, name: str, **chosen: Any) -> DeployChoice:
    """The options as a target, its places looked up in vCenter. Raises ServiceError, click.UsageError."""
    if not chosen["pool"]:
        raise click.UsageError("a new VM wants --pool: the cluster or resource pool it is to be in")
    wanted = DeployNames(*((chosen[key] or "") for key in ("pool", "datastore", "folder", "network", "host")))
    found = choose_place(vcenter.deploy_places(), name, wanted)
    target = replace(
        found.target,
        cpus=chosen["cpus"] or 0,
        memory_mib=chosen["memory"] or 0,
        guest_id=chosen["guest_id"] or "",
        uefi=chosen["uefi"],
        power_on=chosen["power_on"],
    )
    return replace(found, target=target)


@click.command("deploy")
@click.argument("source", metavar="FILE|s3://…")
@click.argument("name")
@target_options
@click.option("--raw", is_flag=True, help="Take the image as RAW, whatever it looks like.")
@click.option("--region", metavar="R", help="Of the bucket; the profile's.")
@json_option
@pass_session
def deploy_command(
    session: Session, /, *, source: str, name: str, raw: bool, region: str | None, as_json: bool, **chosen: Any
) -> int:
    """Make a virtual machine NAME in vCenter of a disk image or OVA, here or in S3.

    VMDK, VHD, VHDX, RAW, OVA and OVF do. The disks are sent as they are read; an object in S3 never lies on this
    machine. Interrupted, nothing stays in vCenter.

    Example: vmie-tui deploy s3://exports/export-ami-0123456789abcdef0.vmdk web-01 --pool Compute --datastore vmfs-01
    """
    operations = session.operations
    given = _source(source, raw=raw)
    target = chosen_place(operations.vcenter, name, **chosen).target
    with ExitStack() as held:
        aws = operations.connections.aws() if isinstance(given, ObjectSource) else None
        found = held.enter_context(open_deployable(given, aws, region))
        vsphere = held.enter_context(operations.connections.vsphere())
        held.enter_context(terminated_is_interrupted())
        meter = held.enter_context(Meter())
        watch = _Watch(meter, [disk.size for _, disk in found.disks])
        mark = f"cli-{secrets.token_hex(5)}"
        done = deploy(vsphere, target, found.disks, hardware_of(target, found.ovf), mark=mark, control=watch)
        if target.power_on:
            power_on(vsphere, done.moid, name)
    if not done.noted:
        say(f"the notes of {name} still say that it is unfinished: the account may not write them")
    if as_json:
        out_json(asdict(done))
    else:
        for disk in done.disks:
            proven = f"equal by the host's {disk.proven}" if disk.proven else "the host gave no checksum"
            say(f"{disk.name}: {disk.bytes:,} bytes sent, {proven}")
        out(done.moid)
    return EXIT_OK


def _source(text: str, *, raw: bool) -> FileSource | ObjectSource:

    given = parse_source(text)
    if given.kind == ObjectSource.KIND:
        return ObjectSource(text, given.bucket, (given.key,), "RAW" if raw else "")
    if given.kind != FileSource.KIND:
        raise ServiceError(
            ErrorKind.INVALID, "is neither a file nor s3://bucket/key", subject=text, remedy="Name a disk image"
        )
    return FileSource(text, (str(Path(text).expanduser().absolute()),), raw)


class _Watch:
    """Shows on one line how far the disks have come (`DeployControl`). Ctrl+C interrupts by itself."""

    def __init__(self, meter: Meter, capacities: list[int]) -> None:
        self._meter, self._total = meter, sum(capacities)
        self._before = [sum(capacities[:number]) for number in range(len(capacities))]

    def check(self) -> None:
        pass

    def on_stop(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        return _nothing()

    def moved(self, number: int, nbytes: int) -> None:
        pass

    def covered(self, number: int, offset: int) -> None:
        self._meter.show(self._before[number] + offset, self._total)

    def finished(self, number: int, size: int) -> None:
        pass


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield
