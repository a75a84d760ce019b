"""When AWS refuses to convert a machine: import it unmodified, from the upload that is already in AWS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.records import DiskRecord, JobRecord
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Firmware
from vmie_tui.model.plan import (
    BootMode,
    ImportPlan,
    ObjectSource,
    Route,
    SnapshotSource,
    Source,
    UploadFormat,
    Via,
)
from vmie_tui.model.rules.formats import check_format
from vmie_tui.model.rules.routes import check_route, image_format
from vmie_tui.model.rules.systems import system_of
from vmie_tui.model.task import JobState

CONVERSIONS = frozenset({Route.IMAGE, Route.IMAGE_DIRECT})


def fallback_plan(record: JobRecord, disks: Sequence[DiskRecord]) -> ImportPlan:
    """The plan of the unmodified import. Raises ServiceError CONFLICT unless the job failed, REFUSED with a reason."""
    if record.state is not JobState.FAILED:
        raise ServiceError(
            ErrorKind.CONFLICT,
            f"only a job that failed can fall back, and this one is {record.state.value}",
            subject=record.id,
            remedy="Wait for its end",
        )
    source, via = where_upload_is(record, disks)
    plan = record.plan
    assert isinstance(plan, ImportPlan)
    machine = record.ledger_as(ImportLedger).machine
    system = system_of(machine)
    uefi = machine.firmware is Firmware.UEFI or system.arm
    fallback = replace(
        _as_import(plan),
        source=source,
        route=Route.UNMODIFIED,
        via=via,
        upload_format=UploadFormat.VMDK,
        license_type=None,
        usage_operation=None,
        platform=None,
        boot_mode=plan.boot_mode or (BootMode.UEFI if uefi else BootMode.LEGACY_BIOS),
        architecture="arm64" if system.arm else "i386" if system.bits == 32 and not uefi else plan.architecture,
    )
    against = next(iter(check_route(fallback, machine)), None)
    if against is not None and against.prevents:
        raise _refused(record, against.what, against.remedy)
    return fallback


def _as_import(plan: ImportPlan) -> ImportPlan:
    """The plan of a plain import: one that falls back is no run of a replication, and no run goes on from it."""
    return ImportPlan(**{field.name: getattr(plan, field.name) for field in fields(ImportPlan)})


def where_upload_is(record: JobRecord, disks: Sequence[DiskRecord]) -> tuple[Source, Via]:
    """Where the upload is now, and how it can become EBS snapshots. Raises ServiceError REFUSED with the reason."""
    plan = record.plan
    if not isinstance(plan, ImportPlan) or plan.route not in CONVERSIONS:
        raise _refused(record, "only an import that AWS was to convert can fall back to an unmodified one", "")
    if not disks or (plan.moves_bytes and not all(disk.done for disk in disks)):
        raise _refused(record, "not all of its disks are in AWS", "Resume the job: it goes on with the upload")
    name = plan.source.name
    if plan.route is Route.IMAGE_DIRECT:
        made = tuple(disk.ledger.uploaded_snapshot or disk.snapshot_id for disk in disks)
        if not all(made):
            raise _refused(record, "its snapshots are not known", "Resume the job")
        return SnapshotSource(name, made), Via.EBS
    given = plan.source if isinstance(plan.source, ObjectSource) else None
    bucket = given.bucket if given else plan.bucket
    kind = plan.upload_format.value
    if given:
        machine = record.ledger_as(ImportLedger).machine
        kind = given.format or image_format(machine.disks[0].image)
    keys = tuple(dict.fromkeys(disk.s3_key for disk in disks))
    # ImportSnapshot reads no OVA and no VHDX: then this machine reads the objects by ranges and writes the blocks.
    taken = not any(check_format(Route.UNMODIFIED, kind))
    return ObjectSource(name, bucket, keys, kind), Via.S3 if taken else Via.EBS


def _refused(record: JobRecord, what: str, remedy: str) -> ServiceError:
    return ServiceError(ErrorKind.REFUSED, what, subject=record.id, remedy=remedy)
