"""What a cancelled import removes, and what a failed one gives back at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.ports import Undo
from vmie_tui.jobs.engine.tags import MADE_BY, TAG_JOB
from vmie_tui.jobs.imports import finish, import_image, import_instance, import_snapshots, register_image
from vmie_tui.jobs.imports.snapshot import remove_snapshot
from vmie_tui.jobs.transfer.export_lease import give_lease_back
from vmie_tui.jobs.transfer.target_s3 import target_of
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.plan import Route
from vmie_tui.model.task import JobState
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot, tagged_snapshots


def undo(context: ImportContext) -> Iterator[Undo]:
    """All that a cancelled import must remove, in this order. Ready AMIs stay."""
    plan = context.plan
    if plan.route is Route.UNMODIFIED:
        yield "an AMI that nobody noted", partial(register_image.find_registered, context)
    record, route = context.record, plan.route
    yield f"the {context.launches}", partial(finish.terminate_test, context)
    yield "the volumes", partial(register_image.remove_volumes, context)
    if route is Route.INSTANCE:
        yield "the conversion task", partial(import_instance.cancel_conversion, context)
    elif route in {Route.IMAGE, Route.IMAGE_DIRECT}:
        yield "the import task", partial(import_image.cancel_image, context)
    elif not record.image_id:
        yield "the imported snapshots", partial(import_snapshots.cancel_snapshots, context)
    copies = [f"{image_id} in {region}" for region, image_id in context.ledger.copies.items()]
    for made in (record.image_id, *copies):
        if made:
            context.say(f"{made} was made already, and stays", message=False)
    user = _user_of_upload(context)
    if user:
        context.say(f"what was uploaded stays: job {user} uses it", message=False)
    in_use = bool(record.image_id) and route is Route.UNMODIFIED and plan.direct
    if plan.moves_bytes and not user and not in_use:
        target = target_of(context)
        for disk in context.disks():
            yield f"what was uploaded of {disk.label} ({disk.s3_key})", partial(target.remove, disk)
        if not record.image_id:
            yield "unfinished snapshots", partial(_remove_unseen_snapshots, context)


def give_back(context: ImportContext) -> Iterator[Undo]:
    """What an import holds of vCenter: its export lease and its own snapshot."""
    yield "the export lease", partial(give_lease_back, context)
    # More than one try, whatever the user asked for: a snapshot that is left grows until somebody sees it.
    remove = partial(remove_snapshot, context)
    yield "the snapshot", partial(context.ask_vcenter, remove, control=JobControl(), tries=3)


def _remove_unseen_snapshots(context: ImportContext) -> None:
    """Delete EBS snapshots that a killed worker began and nobody noted."""
    if not context.ledger.ebs_snapshots_asked:
        return
    region, kept = context.plan.region, context.kept_snapshots
    for snapshot_id in tagged_snapshots(context.aws, region, TAG_JOB, context.job_id, described=MADE_BY):
        if snapshot_id not in kept:
            delete_snapshot(context.aws, region, snapshot_id)


def _user_of_upload(context: ImportContext) -> str:
    """The job that fell back to this one's upload, while it needs it; "" when there is none."""
    user = context.ledger.fallback_job
    if not user:
        return ""
    try:
        state = context.store.record(user).state
    except ServiceError:
        return ""
    over = {JobState.CANCELLED} if context.plan.direct else {JobState.CANCELLED, JobState.DONE}
    return "" if state in over else user
