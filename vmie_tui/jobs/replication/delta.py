"""What a run of a replication has to move of a disk, how that is found out, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vmie_tui.jobs.replication.areas_to_copy import Areas, Delta
from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.model.replication import KeptDisk, Sync
from vmie_tui.model.rules.replication import DiskNow, choose_sync
from vmie_tui.services.disks.streams.proof_samples import BLOCK
from vmie_tui.services.vsphere.changed_blocks import ALLOCATED, TrackingLost, changed_areas, joined


def delta_of(context: ReplicationContext, disk: DiskRecord) -> Delta:
    """What changed between the last run's copy of a disk and this run's snapshot. Raises ServiceError."""
    now, kept = _now(disk), context.kept.get(disk.key)
    sync, reason = _choice(context, disk, now, kept)
    areas: Areas = []
    if sync is Sync.CHANGED and kept is not None:
        try:
            areas = _asked(context, now, kept.change_id)
        except TrackingLost as error:
            sync, reason = Sync.FULL, error.problem.what
    if sync is not Sync.CHANGED:
        areas = allocated(context, disk)
    changed = sum(length for _, length in areas)
    wanted = [(offset, offset + length) for offset, length in areas]
    if sync is Sync.CHECKSUM:  # data of the parent that was given up since has to become zeros
        wanted += _bytes(context.content(disk.key).load())
    if disk.ledger.pending_snapshot:  # what an earlier attempt has put must be put as it is now (trap 19)
        wanted += _bytes(context.block_journal(disk.key).load())
    whole = joined(((start // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK) for start, end in wanted), now.capacity)
    parent = kept.snapshot_id if kept is not None and sync in {Sync.CHANGED, Sync.CHECKSUM} else ""
    return Delta(sync, reason, parent, changed, whole)


def _now(disk: DiskRecord) -> DiskNow:
    seen = disk.ledger.at_snapshot
    return DiskNow(disk.key, seen.uuid, seen.capacity, seen.change_id, disk.label)


def _choice(context: ReplicationContext, disk: DiskRecord, now: DiskNow, kept: KeptDisk | None) -> tuple[Sync, str]:
    """How to sync the disk, and why: the rules' choice, corrected by what the store knows of the last copy."""
    asked, tracked = context.plan.resync, bool(now.change_id)
    sync, reason = choose_sync(kept, now, asked=asked, tracked=tracked)
    if kept is None:
        ran = (context.store.record(job_id).ledger_as(RunLedger).kept for job_id in context.earlier_jobs())
        given_up = not context.kept and any(ran)
        return (Sync.FULL, "what the last run left cannot be relied on") if given_up else (sync, reason)
    if refused := disk.ledger.parent_refused:
        return Sync.FULL, refused
    comparable = (kept.uuid, kept.capacity) == (now.uuid, now.capacity)
    without_ids = not tracked or not kept.change_id
    if sync is Sync.FULL and asked is None and without_ids and comparable:  # each run would send all of the disk
        sync = Sync.CHECKSUM
    if sync is Sync.CHANGED and now.change_id == kept.change_id:
        # Each snapshot has a number of its own. The same one again: the disk was set back, and its next snapshot got
        # the number of one that is gone; what was written in between would be missed.
        sync, reason = Sync.CHECKSUM, "its change id is the last run's: it may have been set back to an earlier state"
    if sync is Sync.CHECKSUM and not context.content(disk.key).is_of(kept.snapshot_id):
        return Sync.FULL, f"{reason}, and there are no checksums of the last run's blocks"
    return sync, reason


def allocated(context: ReplicationContext, disk: DiskRecord) -> Areas:
    """The areas ever written of the disk at the snapshot, if vCenter tells them; otherwise all of it (trap 26)."""
    now = _now(disk)
    try:
        return _asked(context, now, ALLOCATED)
    except TrackingLost as error:
        context.say(f"{disk.label}: all of it is read: {error.problem.what}", message=False)
        return [(0, now.capacity)]


def _asked(context: ReplicationContext, now: DiskNow, change_id: str) -> Areas:
    ledger = context.ledger
    return context.ask_vcenter(
        lambda: changed_areas(
            context.vsphere,
            ledger.moid,
            ledger.at_snapshot.moid,
            now.key,
            change_id,
            now.capacity,
            check=context.control.check,
        )
    )


def _bytes(blocks: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int]]:
    """(start, end) of consecutive blocks, which are given ascending: a large disk has millions in few ranges."""
    first = last = -1
    for index, _ in blocks:
        if index != last:
            if last > first:
                yield first * BLOCK, last * BLOCK
            first = index
        last = index + 1
    if last > first:
        yield first * BLOCK, last * BLOCK
