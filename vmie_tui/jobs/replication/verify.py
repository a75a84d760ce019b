"""While our snapshot still exists: compare the copy with it, and make it what the next run goes on from."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.replication.cutover import refuse_running_machine
from vmie_tui.jobs.replication.delta import allocated
from vmie_tui.jobs.replication.retention import note_figures
from vmie_tui.jobs.replication.snapshot import refuse_moved_machine
from vmie_tui.jobs.replication.source_changed_blocks import blocks_in, open_disk_at_snapshot
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.choose_samples import seed_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.replication import KeptDisk, Verify
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.ec2.images import describe_snapshots
from vmie_tui.services.disks.streams.proof_samples import BLOCK
from vmie_tui.services.vsphere.changed_blocks import joined

SAMPLES = 32  # ours: blocks of each disk, half of them anywhere, half of those this run has written


def verify(context: ReplicationContext) -> dict[str, Any]:
    """Read blocks of the new EBS snapshots back and compare them with the machine. Returns ``{"verified": blocks}``.

    Raises ServiceError CORRUPT for a block that differs: then no AMI is made, and the next run copies everything again;
    CONFLICT when the machine was moved meanwhile.
    """
    if not context.reads_by_lease:
        refuse_moved_machine(context)
    compared = 0
    if context.plan.verify is not Verify.NONE:
        for disk in context.disks():
            context.say(f"{disk.label}: comparing blocks of the copy with the machine")
            compare = partial(_compare_digests if context.reads_by_lease else _compare, context, disk)
            compared += context.ask_vcenter(compare)
        context.say(f"{compared:,} blocks read back from EBS are equal to the machine's", message=False)
    context.remember(blocks_verified=compared)
    return {"verified": compared}


def _compare(context: ReplicationContext, disk: DiskRecord) -> int:
    """Compare blocks of a disk with its copy. Returns how many."""
    compared = 0
    made = disk.ledger.uploaded_snapshot
    with (
        SnapshotReader(context.aws, context.plan.region, made, disk.capacity) as copy,
        open_disk_at_snapshot(context, disk) as frozen,
    ):
        for index, block in blocks_in(frozen.stream(_areas(context, disk, copy))):
            if copy.read_at(index * BLOCK, len(block)) != block:
                raise _differs(context, disk, index)
            compared += 1
    return compared


def _areas(context: ReplicationContext, disk: DiskRecord, copy: SnapshotReader) -> list[tuple[int, int]]:
    """What to compare: a sample, or everything that has data on either side."""
    if context.plan.verify is Verify.ALL:
        both = [*allocated(context, disk), *copy.extents()]
        ends = ((at // BLOCK * BLOCK, -(-(at + length) // BLOCK) * BLOCK) for at, length in both)
        return joined(ends, disk.capacity)
    chosen = random.Random(seed_of(context.job_id, disk.key))  # noqa: S311 - a choice, not a secret
    blocks = -(-disk.capacity // BLOCK)
    picked = set(chosen.sample(range(blocks), min(blocks, SAMPLES // 2)))
    written = (index for index, _ in context.block_journal(disk.key).load())
    picked.update(_some(written, SAMPLES // 2, chosen))
    return [(index * BLOCK, min(BLOCK, disk.capacity - index * BLOCK)) for index in sorted(picked)]


def _some(indexes: Iterator[int], most: int, chosen: random.Random) -> list[int]:
    """Choose up to ``most`` of them at random, without knowing how many there are."""
    kept: list[int] = []
    for number, index in enumerate(indexes):
        if number < most:
            kept.append(index)
        elif (place := chosen.randrange(number + 1)) < most:
            kept[place] = index
    return kept


def _compare_digests(context: ReplicationContext, disk: DiskRecord) -> int:
    """The same for a disk that came as a stream: compare with the digests of what was sent."""
    wanted: Iterator[tuple[int, str]] = iter(disk.samples.items())
    if context.plan.verify is Verify.ALL:
        journal = context.block_journal(disk.key).load()
        wanted = ((index, digest.hex()) for index, digest in journal)
    compared = 0
    with SnapshotReader(context.aws, context.plan.region, disk.ledger.uploaded_snapshot, disk.capacity) as copy:
        for index, digest in wanted:
            context.control.check()
            data = copy.read_at(index * BLOCK, BLOCK).ljust(BLOCK, b"\0")
            if hashlib.sha256(data).hexdigest() != digest:
                raise _differs(context, disk, index)
            compared += 1
    return compared


def _differs(context: ReplicationContext, disk: DiskRecord, index: int) -> ServiceError:
    """Give up everything that earlier runs left, and return the error for this block."""
    context.add_leftovers(context.kept_snapshots)
    context.replications.forget_kept(context.plan.replication)
    for each in context.disks():
        context.content(each.key).clear()
    return ServiceError(
        ErrorKind.CORRUPT,
        f"block {index} of the copy is not the machine's: no AMI is made of it",
        subject=disk.label,
        remedy="Run again: all of the disk is copied anew",
        detail=f"{disk.ledger.uploaded_snapshot}, byte {index * BLOCK}",
    )


def keep_copy(context: ReplicationContext) -> dict[str, Any]:
    """The copy is complete: from now on, and not before, the next run goes on from it (trap 25)."""
    refuse_running_machine(context)
    context.remember(kept_after=context.ledger.elapsed)
    note_figures(context)
    if context.reads_by_lease:  # there is nothing to go on from
        return {}
    disks = context.disks()
    made = [disk.ledger.uploaded_snapshot for disk in disks]
    infos = context.retry(lambda: describe_snapshots(context.aws, context.plan.region, made))
    kept = [
        KeptDisk(
            disk.key,
            disk.ledger.at_snapshot.uuid,
            disk.capacity,
            disk.ledger.at_snapshot.change_id,
            info.id,
            info.encrypted,
        )
        for disk, info in zip(disks, infos, strict=True)
    ]
    context.add_leftovers(context.kept_snapshots - set(made))
    for disk in disks:
        put = context.block_journal(disk.key).load()
        context.content(disk.key).update(put, disk.ledger.uploaded_snapshot, disk.ledger.parent_snapshot)
    context.replications.keep(context.plan.replication, kept)
    context.remember(kept=True)
    return {"kept": made}
