"""The last steps of a replication's run: old AMIs and unneeded snapshots are deleted, the figures recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vmie_tui.jobs.imports.snapshot import remove_own_snapshots
from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import Stage
from vmie_tui.model.replication import RunFigures, Sync
from vmie_tui.model.rules.replication_schedule import to_remove
from vmie_tui.services.aws.ec2.images import deregister_image, describe_image, users_of
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot

_AFTER_THE_COPY = frozenset({Stage.IMPORT, Stage.REGISTER, Stage.LAUNCH, Stage.FINISH})


def apply_retention(context: ReplicationContext) -> dict[str, Any]:
    """Deregister the AMIs beyond those to keep, with their snapshots, and delete parents no run needs.

    What cannot be removed is logged, and the next run tries again. Raises ServiceError LOGIN.
    """
    spec, replications, plan = context.spec, context.replications, context.plan
    if spec.once:  # no run goes on from this one
        _give_up_kept(context)
    mine = [(plan.run, context.record.image_id)] if context.record.image_id else []
    others = [(run, image) for run, image in replications.images(plan.replication) if run != plan.run]
    for run_id, image_id in to_remove([*mine, *others], spec.keep):
        if _removed(context, image_id):
            replications.image_gone(run_id)
            _forget_blocks(context, run_id)
    for snapshot_id in context.ledger.leftovers or ():
        _delete_leftover(context, snapshot_id)
    return {}


def _give_up_kept(context: ReplicationContext) -> None:
    disks = context.disks()
    context.add_leftovers({*context.kept_snapshots, *(disk.ledger.uploaded_snapshot for disk in disks)})
    context.replications.forget_kept(context.plan.replication)
    for disk in disks:
        context.content(disk.key).clear()


def _forget_blocks(context: ReplicationContext, run_id: str) -> None:
    """Delete the block journals of a run whose AMI is gone: a large disk has millions of rows."""
    job_id = context.jobs_of_runs().get(run_id, context.job_id)
    if job_id != context.job_id:
        for disk in context.store.disks(job_id):
            BlockJournal(context.store, job_id, disk.key).clear()


def _removed(context: ReplicationContext, image_id: str) -> bool:
    """Whether the AMI is gone. Its EBS snapshots become leftovers, so that a killed worker's successor deletes them."""
    region = context.plan.region
    context.say(f"removing the old AMI {image_id}")
    try:
        image = context.retry(lambda: describe_image(context.aws, region, image_id))
        context.add_leftovers(image.snapshot_ids)
        context.retry(lambda: deregister_image(context.aws, region, image_id, snapshots=False))
    except ServiceError as error:
        if error.kind is ErrorKind.NOT_FOUND:
            return True
        if error.kind is ErrorKind.LOGIN:
            raise
        context.say(f"{image_id} could not be removed, the next run tries again: {error}", level="warning")
        return False
    context.say(f"{image_id} deregistered", message=False)
    return True


def _delete_leftover(context: ReplicationContext, snapshot_id: str) -> None:
    """Delete a leftover snapshot, unless the next run goes on from it or an AMI uses it."""
    region = context.plan.region
    if snapshot_id not in context.kept_snapshots:
        try:
            if not context.retry(lambda: users_of(context.aws, region, snapshot_id)):
                context.retry(lambda: delete_snapshot(context.aws, region, snapshot_id))
                context.say(f"{snapshot_id} deleted", message=False)
        except ServiceError as error:
            if error.kind is ErrorKind.LOGIN:
                raise
            context.say(f"{snapshot_id} could not be deleted, the next run tries again: {error}", level="warning")
            return
    left = tuple(other for other in context.ledger.leftovers or () if other != snapshot_id)
    context.remember(leftovers=left)


def note_figures(context: ReplicationContext) -> RunFigures:
    """Record what the run has moved, and how long it took so far."""
    ledger, disks = context.ledger, context.disks()
    most = max(disks, key=lambda disk: (disk.total, disk.capacity))
    figures = RunFigures(
        sync=most.ledger.sync,
        reason=most.ledger.reason,
        changed=sum(_changed(disk) for disk in disks),
        moved=sum(disk.total for disk in disks),
        total=sum(disk.capacity for disk in disks),
        seconds=ledger.copy_seconds,
        overhead=_overhead(context, ledger),
        quiesced=ledger.at_snapshot.quiesced,
        verified=ledger.blocks_verified,
        frozen=ledger.at_snapshot.at,
    )
    context.replications.figures(context.plan.run, figures)
    return figures


def _overhead(context: ReplicationContext, ledger: RunLedger) -> float:
    """Seconds besides copying: of the attempt that copied, and of the stages after it."""
    if ledger.kept_after is None:  # how long the copying took is known a little later, at its release
        return max(ledger.elapsed - ledger.copy_seconds, 0.0)
    (view,) = context.store.views(job_id=context.job_id)
    now = datetime.now(UTC)
    later = [(stage.started, stage.ended or now) for stage in view.stages if stage.stage in _AFTER_THE_COPY]
    copying = max(ledger.kept_after - ledger.copy_seconds, 0.0)
    return copying + sum((end - start).total_seconds() for start, end in later if start)


def _changed(disk: DiskRecord) -> int:
    """Changed bytes: a resync by checksums finds out itself which blocks changed."""
    changed = disk.ledger.changed
    return disk.total if changed is None or disk.ledger.sync is Sync.CHECKSUM else changed


def _remove_late_snapshot(context: ReplicationContext) -> None:
    """Remove a vSphere snapshot that a killed worker had asked for and that appeared late."""
    try:
        if remove_own_snapshots(context, context.ledger.moid):
            context.say("a snapshot that a killed worker had asked for appeared late, and is removed", message=False)
    except ServiceError as error:  # all that matters is done; the next run looks again
        context.say(f"vCenter could not be asked whether a snapshot is left: {error}", message=False, level="warning")


def finish_run(context: ReplicationContext) -> dict[str, Any]:
    """Record the run's end and figures."""
    _remove_late_snapshot(context)
    note_figures(context)
    context.finish_stage(Stage.FINISH)
    context.replications.end(context.plan.run, context.clock.now())
    return {}
