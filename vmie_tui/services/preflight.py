"""Preflight: inspects a machine in vCenter, or disks from elsewhere, and applies all rules before anything is moved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.guest import GuestFacts, NotInspected
from vmie_tui.model.machine import Disk, Firmware, Machine, Power
from vmie_tui.model.plan import Route, Source, VmSource
from vmie_tui.model.preflight import (
    DiskLook,
    Preflight,
    doubt_missing,
    for_route,
    join_findings,
    prepared,
    prepared_image,
)
from vmie_tui.model.preparation import modifications
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.routes import refusal
from vmie_tui.services.disks.formats.open_disk import OpenDisk, open_raw
from vmie_tui.services.disks.guest.inspect import GuestReport, inspect
from vmie_tui.services.disks.sandbox.client import in_child
from vmie_tui.services.disks.streams.source import ByteReader
from vmie_tui.services.vsphere.datastore.range_reader import open_datastore_disk, why_unreadable
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import create_snapshot, find_snapshot, remove_snapshot

SNAPSHOT = "vmie-tui preflight"
SNAPSHOT_NOTE = "Made by vmie-tui to look into the disks of a running machine; removed again at once"
RUNNING = "the machine is on, and was not frozen by a snapshot"
CONTENT = "the content of its disks"
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
    """Inspects the machine as vCenter describes it now, and its disks.

    ``snapshot``: a running machine may be frozen by a snapshot of ours, which is removed again whatever happens; its
    disks are not inspected otherwise. Raises ServiceError: NOT_FOUND when the machine is gone, REFUSED for a snapshot
    in a ``read_only`` profile, and LOGIN, NETWORK and TLS; what else cannot be read is in ``not_inspected``.
    """
    machine = read_machine(vsphere, machine.moid, name=machine.name)
    if not content:
        return _configured(machine, (NotInspected(CONTENT, NOT_WANTED, disk=True),))
    if machine.power is not Power.ON:
        return _look(vsphere, machine, on_step)
    if not snapshot:
        return _configured(machine, (NotInspected(CONTENT, RUNNING, disk=True),))
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


def on_route(seen: Preflight, route: Route) -> Preflight:
    """The same preflight, with the rules of another route than image."""
    if route is Route.IMAGE or seen.machine is None:
        return seen
    configured: Sequence[Finding] = check_machine(seen.machine, route=route, notes=True)
    content = for_route(seen.content, route)
    refused = refusal(VmSource("", seen.machine.moid, seen.machine.name), seen.machine, route)
    return replace(
        seen,
        findings=join_findings((*_new(refused, configured), *configured), content, seen.guest),
        content=content,
        changes=seen.changes if route is Route.IMAGE_DIRECT else (),
    )


def _new(refused: Finding | None, configured: Sequence[Finding]) -> tuple[Finding, ...]:
    """Why there is no such route, unless the configuration's findings say it."""
    return (refused,) if refused and refused.fact not in {finding.fact for finding in configured} else ()


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
        return _configured(machine, (NotInspected(CONTENT, f"no snapshot: {error}", disk=True),))
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
                missed.append(NotInspected(disk.label, _reason(error), disk=True))
        if not looks:
            return _configured(machine, tuple(missed) or (NotInspected("disks", "the machine has none"),))
        try:
            report = _inspected(looks, machine.firmware, not missed)
        except ServiceError as error:
            if error.kind in _FATAL:
                raise
            return _configured(machine, (*missed, NotInspected(CONTENT, _reason(error), disk=True)))
    content = doubt_missing(report.findings) if missed else report.findings
    return Preflight(
        machine.path,
        join_findings(check_machine(machine, notes=True), content, report.facts),
        (*missed, *report.facts.not_inspected),
        machine,
        report.facts,
        prepared(machine, report.facts),
        modifications(machine),
        tuple(DiskLook(look.name, look.info.format, look.size) for look in looks),
        sum(look.budget.used_requests for look in looks),
        sum(look.budget.used_bytes for look in looks),
        snapshot,
        join_findings((), content, None),
    )


@in_child()
def _inspected(disks: Sequence[ByteReader], firmware: Firmware, must_boot: bool) -> GuestReport:
    return inspect(disks, firmware=firmware, must_boot=must_boot)


@contextmanager
def _open(vsphere: VSphere, machine: Machine, disk: Disk) -> Iterator[OpenDisk]:
    if _DIFFERENCE.search(disk.file_name):
        raise ServiceError(ErrorKind.REFUSED, "its file holds only what changed since a snapshot", subject=disk.label)
    with (
        # A machine that runs is looked into only while a snapshot holds its disks.
        open_datastore_disk(vsphere, machine, disk, frozen=machine.power is Power.ON) as source,
        open_raw(source, name=disk.label) as look,
    ):
        yield look


def _why_not(disk: Disk) -> str:
    """Why a disk cannot be read with a snapshot either."""
    return "a difference" if _DIFFERENCE.search(disk.file_name) else why_unreadable(disk)


def _reason(error: ServiceError) -> str:
    problem = error.problem
    return f"{problem.what} ({problem.detail})" if problem.detail else problem.what


# -- images, objects and EBS snapshots (see `services.image_sources`)


def look_into(
    source: Source,
    disks: Sequence[OpenDisk],
    machine_with: Callable[[GuestFacts | None], Machine],
    *,
    missed: tuple[NotInspected, ...] = (),
    route: Route = Route.IMAGE,
    firmware: Firmware | None = None,
    whole: bool = False,
    remarks: Sequence[Finding] = (),
) -> Preflight:
    """Disks that come from no vCenter, opened; ``machine_with`` makes the machine of what was seen inside.

    ``whole``: they are all disks of a machine, so that one without a system is in trouble. ``remarks``: what was found
    of the image itself, which is added to what the disks gave. Raises what the disks raise
    when not even their first sectors can be read.
    """
    try:
        report = inspect(disks, firmware=firmware, must_boot=whole and not missed) if disks else None
    except ServiceError as error:
        raise error.about(source.where) from error
    guest = report.facts if report else None
    machine = machine_with(guest)
    content = report.findings if report else ()
    content = (*remarks, *for_route(doubt_missing(content) if missed else content, route))
    configured: Sequence[Finding] = check_machine(machine, route=route)
    if guest is not None and not machine.guest_id and not whole:  # a data disk is no machine of an unknown system
        configured = [finding for finding in configured if finding.fact != "IC20"]
    refused = refusal(source, machine, route)
    items, changes = prepared_image(machine.name, guest) if guest else ((), ())
    return Preflight(
        source.where,
        join_findings((*_new(refused, configured), *configured), content, guest),
        (*missed, *(guest.not_inspected if guest else ())),
        machine,
        guest,
        items,
        changes if route is Route.IMAGE or route is Route.IMAGE_DIRECT else (),
        tuple(DiskLook(disk.name, disk.info.format, disk.size) for disk in disks),
        report.requests if report else 0,
        report.bytes_read if report else 0,
        content=join_findings((), content, None),
    )
