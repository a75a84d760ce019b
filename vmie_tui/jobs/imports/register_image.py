"""What becomes of finished EBS snapshots: an AMI, registered unmodified, or volumes."""

from __future__ import annotations

from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.tags import TAG_JOB, tags
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import Stage
from vmie_tui.services.aws.ec2.images import (
    NAME_BOUNDS,
    NAME_REFUSED,
    RegisterDisk,
    RegisterRequest,
    own_images,
    register_image,
    wait_for_image,
)
from vmie_tui.services.aws.ec2.job_resources import tagged_volumes
from vmie_tui.services.aws.ec2.volumes import (
    VolumeRequest,
    attach_volume,
    create_volume,
    delete_volume,
    describe_volume,
    instance_zone,
    wait_for_volume,
)

NAME_TAKEN = "InvalidAMIName.Duplicate"


def register(context: ImportContext) -> dict[str, Any]:
    """Register an AMI of the disks' unmodified snapshots. Returns ``{"image": id}``; again the same one."""
    plan, made = context.plan, context.record.image_id
    context.start_stage(Stage.REGISTER)
    if not made:
        made = _registered(context)
        context.update(image_id=made)
    context.retry(lambda: wait_for_image(context.aws, plan.region, made, check=context.control.check))
    context.finish_stage(Stage.REGISTER)
    return {"image": made}


def _registered(context: ImportContext) -> str:
    """Register the AMI by the plan's name, with the job's id appended if another AMI has that name. Returns its id."""
    plan = context.plan
    context.say("registering the AMI")
    context.remember(register_asked=True)
    name = ami_name(plan.ami_name or plan.source.name)
    try:
        image = context.retry(lambda: register_image(context.aws, plan.region, _request(context, name)))
    except ServiceError as error:
        if error.problem.code != NAME_TAKEN:
            raise
        name = ami_name(f"{name[:100]} {context.job_id}")
        image = context.retry(lambda: register_image(context.aws, plan.region, _request(context, name)))
    context.say(f"AMI {image.id} registered as {name!r}", message=False)
    return image.id


def find_registered(context: ImportContext) -> None:
    """Before a job is undone, note the AMI that a killed worker asked for; it is found by its tag."""
    if context.record.image_id or not context.ledger.register_asked:
        return
    found = next(own_images(context.aws, context.plan.region, **{f"tag:{TAG_JOB}": context.job_id}), None)
    if found is not None:
        context.update(image_id=found.id)


def _request(context: ImportContext, name: str) -> Any:
    plan = context.plan
    return RegisterRequest(
        name,
        tuple(RegisterDisk(disk.snapshot_id) for disk in context.disks()),
        description=plan.description or f"{plan.source.name} imported unmodified by vmie-tui",
        architecture=plan.architecture,
        boot_mode=plan.boot_mode.value if plan.boot_mode else None,
        ena=plan.ena,
        root_device=plan.root_device,
        tags=tags(context),
    )


def ami_name(text: str) -> str:
    """A name that RegisterImage accepts."""
    low, high = NAME_BOUNDS
    return NAME_REFUSED.sub("-", text)[:high].strip().ljust(low, "-")


def make_volumes(context: ImportContext) -> dict[str, Any]:
    """Make a volume of each snapshot, and attach them if the plan names an instance. Returns ``{"volumes": [ids]}``."""
    plan, wanted = context.plan, context.plan.volumes
    if wanted is None:
        return {"volumes": []}
    context.start_stage(Stage.REGISTER)
    zone = wanted.availability_zone or context.retry(
        lambda: instance_zone(context.aws, plan.region, wanted.instance_id)
    )
    made = []
    for disk in context.disks():
        context.say(f"{disk.label}: making a volume in {zone}")
        volume_id = _volume(context, disk, zone)
        if wanted.instance_id:
            device = context.retry(
                lambda volume_id=volume_id: attach_volume(  # type: ignore[misc]
                    context.aws, plan.region, volume_id, wanted.instance_id
                )
            )
            context.say(f"{disk.label}: {volume_id} attached to {wanted.instance_id} as {device}", message=False)
        made.append(volume_id)
    context.finish_stage(Stage.REGISTER)
    return {"volumes": made}


def _volume(context: ImportContext, disk: DiskRecord, zone: str) -> str:
    """Make a volume and wait until it is available. Returns its id. After a failure a resume makes another one."""
    try:
        volume_id = context.retry(lambda: _asked_volume(context, disk, zone))
        context.remember_disk(disk.key, volume=volume_id)
        context.add_result(f"volume of {disk.label}", volume_id)
        context.retry(lambda: wait_for_volume(context.aws, context.plan.region, volume_id, check=context.control.check))
    except ServiceError as error:
        if error.kind in {ErrorKind.REMOTE, ErrorKind.NOT_FOUND}:  # AWS soon deletes a volume that failed
            tried = disk.ledger.volume_try
            context.remember_disk(disk.key, volume="", volume_try=tried + 1)
        raise
    return volume_id


def _asked_volume(context: ImportContext, disk: DiskRecord, zone: str) -> str:
    plan, wanted = context.plan, context.plan.volumes
    number = disk.ledger.volume_try
    request = VolumeRequest(
        disk.snapshot_id,
        zone,
        wanted.volume_type if wanted else "gp3",
        encrypted=plan.encrypted,
        kms_key_id=plan.kms_key_id,
        client_token=f"{context.ledger.client_token}-volume-{disk.key}{f'-{number}' if number > 1 else ''}",
        tags=tags(context),
    )
    context.remember(volumes_asked=True)
    return create_volume(context.aws, plan.region, request).id


def remove_volumes(context: ImportContext) -> None:
    """Delete the volumes of a cancelled job, except for those that are attached."""
    if not context.ledger.volumes_asked:
        return
    for volume_id in tagged_volumes(context.aws, context.plan.region, TAG_JOB, context.job_id):
        found = describe_volume(context.aws, context.plan.region, volume_id)
        if found.instance_id:
            context.say(f"{volume_id} stays: it is attached to {found.instance_id}", level="warning")
        else:
            delete_volume(context.aws, context.plan.region, volume_id)
