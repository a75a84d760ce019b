"""Looks before anything is moved: a machine in vCenter, an image file, or an image in S3, with all that rules say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.guest import GuestFacts, NotInspected, Presence
from vmie_tui.model.machine import Disk, Machine, Power
from vmie_tui.model.plan import Route
from vmie_tui.model.preflight import (
    DiskLook,
    Preflight,
    doubt_missing,
    join_findings,
    prepared,
    prepared_image,
)
from vmie_tui.model.preparation import modifications
from vmie_tui.model.rules import check_machine
from vmie_tui.model.rules.formats import check_format
from vmie_tui.services.disks.containers import OpenDisk, open_disks, open_raw
from vmie_tui.services.disks.guest.inspect import inspect

if TYPE_CHECKING:
    from vmie_tui.services.aws.session import Aws
    from vmie_tui.services.vsphere.session import VSphere

SNAPSHOT = "vmie-tui preflight"
SNAPSHOT_NOTE = "Made by vmie-tui to look into the disks of a running machine; removed again at once"
RUNNING = "the machine is on, and was not frozen by a snapshot"
NOT_WANTED = "only the configuration was asked for"
_DIFFERENCE = re.compile(r"-\d{6}\.vmdk$")
# These end a preflight; any other refusal only leaves the disk uninspected.
_FATAL = frozenset({ErrorKind.LOGIN, ErrorKind.NETWORK, ErrorKind.TLS, ErrorKind.CANCELLED, ErrorKind.BUG})


def preflight_machine(
    vsphere: VSphere,
    machine: Machine,
    *,
    content: bool = True,
    snapshot: bool = False,
    read_only: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Preflight:
    """The machine as vCenter describes it now, and what is on its disks.

    ``snapshot``: a running machine may be frozen by a snapshot of ours, which is removed again whatever happens; its
    disks are not inspected otherwise. Raises ServiceError: NOT_FOUND when the machine is gone, REFUSED for a snapshot
    in a ``read_only`` profile, and LOGIN, NETWORK and TLS; what else cannot be read is in ``not_inspected``.
    """
    from vmie_tui.services.vsphere.inventory import read_machine

    machine = read_machine(vsphere, machine.moid, name=machine.name)
    if not content:
        return _configured(machine, (NotInspected("the content of its disks", NOT_WANTED),))
    if machine.power is not Power.ON:
        return _look(vsphere, machine, on_step)
    if not snapshot:
        return _configured(machine, (NotInspected("the content of its disks", RUNNING),))
    if read_only:
        raise ServiceError(
            ErrorKind.REFUSED,
            "this profile is read-only: no snapshot can be made",
            subject=machine.name,
            remedy="Look at the configuration only, or use a profile without 'read_only = true'",
        )
    return _look_frozen(vsphere, machine, on_step)


def preflight_frozen(vsphere: VSphere, machine: Machine) -> Preflight:
    """A machine that is off, or that the caller has frozen by a snapshot since ``machine`` was read.

    Raises ServiceError LOGIN, NETWORK and TLS; what else cannot be read is in ``not_inspected``.
    """
    return _look(vsphere, machine, lambda _: None)


def _configured(machine: Machine, missed: tuple[NotInspected, ...]) -> Preflight:
    return Preflight(
        machine.path,
        check_machine(machine, notes=True),
        missed,
        machine,
        items=prepared(machine, None),
        changes=modifications(machine),
    )


def _look_frozen(vsphere: VSphere, machine: Machine, on_step: Callable[[str], None]) -> Preflight:
    """Through a snapshot, unless none of the disks could be read with it either."""
    from vmie_tui.services.vsphere.inventory import read_machine
    from vmie_tui.services.vsphere.snapshot import create_snapshot, find_snapshot, remove_snapshot

    left = find_snapshot(vsphere, machine.moid, SNAPSHOT)
    if left is not None:  # an earlier look was killed: its disks are not those of now
        on_step("removing the snapshot an earlier look has left")
        remove_snapshot(vsphere, left.moid)
        machine = read_machine(vsphere, machine.moid, name=machine.name)
    if all(_why_not(disk) for disk in machine.disks):
        return _look(vsphere, machine, on_step)
    on_step(f"making the snapshot {SNAPSHOT!r}")
    try:
        made = create_snapshot(vsphere, machine.moid, SNAPSHOT, SNAPSHOT_NOTE, quiesce=False)
    except ServiceError as error:
        if error.kind in _FATAL:
            raise
        return _configured(machine, (NotInspected("the content of its disks", f"no snapshot: {error}"),))
    try:
        return _look(vsphere, machine, on_step, snapshot=SNAPSHOT)
    finally:
        on_step("removing the snapshot")
        remove_snapshot(vsphere, made.moid)


def _look(vsphere: VSphere, machine: Machine, on_step: Callable[[str], None], *, snapshot: str = "") -> Preflight:
    missed: list[NotInspected] = []
    with ExitStack() as held:
        looks: list[OpenDisk] = []
        for disk in machine.disks:
            on_step(f"reading {disk.label}")
            try:
                looks.append(held.enter_context(_open(vsphere, machine, disk)))
            except ServiceError as error:
                if error.kind in _FATAL:
                    raise
                missed.append(NotInspected(disk.label, _reason(error)))
        if not looks:
            return _configured(machine, tuple(missed) or (NotInspected("disks", "the machine has none"),))
        try:
            report = inspect(looks, firmware=machine.firmware, must_boot=not missed)
        except ServiceError as error:
            if error.kind in _FATAL:
                raise
            return _configured(machine, (*missed, NotInspected("the content of its disks", _reason(error))))
    content = doubt_missing(report.findings) if missed else report.findings
    return Preflight(
        machine.path,
        join_findings(_unsettled(check_machine(machine, notes=True), report.facts), content),
        (*missed, *report.facts.not_inspected),
        machine,
        report.facts,
        prepared(machine, report.facts),
        modifications(machine),
        tuple(DiskLook(look.name, look.info.format, look.size) for look in looks),
        report.requests,
        report.bytes_read,
        snapshot,
        join_findings((), content),
    )


def _unsettled(configuration: Sequence[Finding], guest: GuestFacts) -> list[Finding]:
    """Without the advice to check what was just seen to be there."""
    there = guest.loader is Presence.PRESENT
    return [finding for finding in configuration if not (there and finding.rule == "efi-loader")]


@contextmanager
def _open(vsphere: VSphere, machine: Machine, disk: Disk) -> Iterator[OpenDisk]:
    from vmie_tui.services.vsphere.datastore import open_datastore_disk

    if _DIFFERENCE.search(disk.file_name):
        raise ServiceError(ErrorKind.REFUSED, "its file holds only what changed since a snapshot", subject=disk.label)
    with (
        open_datastore_disk(vsphere, machine, disk) as source,
        open_raw(source, name=disk.label) as look,
    ):
        yield look


def _why_not(disk: Disk) -> str:
    """Why a disk cannot be read with a snapshot either."""
    from vmie_tui.services.vsphere.datastore import why_unreadable

    return "a difference" if _DIFFERENCE.search(disk.file_name) else why_unreadable(disk)


def _reason(error: ServiceError) -> str:
    problem = error.problem
    return f"{problem.what} ({problem.detail})" if problem.detail else problem.what


# -- images


def preflight_file(path: str | os.PathLike[str], *, route: Route = Route.IMAGE) -> Preflight:
    """An image file. Raises ServiceError: INVALID for what is none, NOT_FOUND, LOCAL, CORRUPT for a damaged one."""
    return _image(os.fspath(path), open_disks(path), route)


def preflight_object(aws: Aws, bucket: str, key: str, *, route: Route = Route.IMAGE) -> Preflight:
    """An image in S3, by range requests. Raises ServiceError as `preflight_file`, and PERMISSION, LOGIN, NETWORK."""
    from vmie_tui.services.aws.ranges import S3Object

    name = f"s3://{bucket}/{key}"
    return _image(name, open_disks(S3Object(aws, bucket, key), name=name), route)


def _image(name: str, disks: Sequence[OpenDisk], route: Route) -> Preflight:
    several = len(disks) > 1 or disks[0].name != name  # an OVA
    with ExitStack() as held:
        for disk in disks:
            held.enter_context(disk)
        try:
            report = inspect(disks, must_boot=several)
        except ServiceError as error:
            raise error.about(name) from error
        formats = [finding for disk in disks for finding in _format(disk, route, disk.name if several else "")]
        looks = tuple(DiskLook(disk.name, disk.info.format, disk.size) for disk in disks)
    items, changes = prepared_image(name, report.facts)
    return Preflight(
        name,
        join_findings(formats, report.findings),
        report.facts.not_inspected,
        None,
        report.facts,
        items,
        changes,
        looks,
        report.requests,
        report.bytes_read,
        content=join_findings((), report.findings),
    )


def _format(disk: OpenDisk, route: Route, subject: str) -> Iterator[Finding]:
    """What the image's own format says; disks inside an OVA are judged like files."""
    form = disk.info.format
    kind = "streamOptimized" if form == "vmdk-stream" else disk.info.create_type
    yield from check_format(route, form.partition("-")[0], kind=kind, subject=subject)
