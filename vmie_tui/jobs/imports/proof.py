"""Proves a job's result: the checksums recorded on the way, and blocks of the snapshots read back from EBS.

Reads only, but for the instance route, whose volume can be read through a snapshot that is made for it and deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from vmie_tui.jobs.store.block_digests import BlockDigests
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.records import DiskRecord, JobRecord
from vmie_tui.jobs.store.store import Store
from vmie_tui.jobs.transfer.choose_samples import sample_disk, sample_journal, sampler_for, seed_of
from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.model.plan import FileSource, ImportPlan, ObjectSource, Route, SnapshotSource, Source
from vmie_tui.model.proof import BlockProof, DiskProof, Proof
from vmie_tui.model.replication import ReplicationPlan
from vmie_tui.model.rules.plan import CONVERTED
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot, snapshot_of
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.disks.streams.pieces import runs_of
from vmie_tui.services.disks.streams.proof_samples import BLOCK, Sampler
from vmie_tui.services.disks.streams.source import DiskSource
from vmie_tui.services.image_sources import open_source_disks

OnStep = Callable[[str], None]
JOURNAL, SAMPLES = "what was put into EBS", "what passed on its way"


class Prover:
    """Proves one job at a time; ``all_blocks``: compare every block that can be compared, not only samples."""

    def __init__(self, store: Store, aws: Aws, *, all_blocks: bool, on_step: OnStep) -> None:
        self._store, self._aws, self._all, self._on_step = store, aws, all_blocks, on_step

    def prove(self, record: JobRecord) -> Proof:
        """Raises ServiceError INVALID for a job that is no import; what AWS says about one disk is in its notes."""
        plan = record.plan
        if not isinstance(plan, ImportPlan):
            raise ServiceError(
                ErrorKind.INVALID, "only imports have a proof", subject=record.id, remedy="Name an import job"
            )
        disks = self._store.disks(record.id)
        notes = [] if disks else ["no disk was recorded yet"]
        if plan.route in CONVERTED:
            notes.append("AWS converts the machine on this route: blocks of its boot disk may differ in the result")
        with ExitStack() as held:
            given = self._originals(record, plan, disks, held) if self._needs_original(disks) else {}
            proofs = tuple(self._disk(record, plan, disk, given.get(disk.key)) for disk in disks)
        return Proof(record.id, plan.source.name, plan.route.value, proofs, tuple(notes))

    def _needs_original(self, disks: list[DiskRecord]) -> bool:
        """Whether to compare with the object or file itself: there are no samples, or more than samples are wanted."""
        return any(not disk.samples or (self._all and not disk.ledger.uploaded_snapshot) for disk in disks)

    # what was sent

    def _originals(
        self, record: JobRecord, plan: ImportPlan, disks: list[DiskRecord], held: ExitStack
    ) -> dict[int, tuple[str, DiskSource]]:
        """The disks that can still be read: from the objects in S3, the source snapshots, or the files."""
        source = _still_there(plan, disks)
        if source is None:
            return {}
        try:
            aws = None if isinstance(source, FileSource) else self._aws
            found = held.enter_context(open_source_disks(source, aws, plan.region, proven=True))
        except VmieError as error:
            self._on_step(f"{source.where} cannot be read: {error}")
            return {}
        return {disk.key: (source.where, each.source) for disk, each in zip(disks, found, strict=False)}

    # one disk

    def _disk(
        self, record: JobRecord, plan: ImportPlan, disk: DiskRecord, given: tuple[str, DiskSource] | None
    ) -> DiskProof:
        notes: list[str] = []
        blocks: list[BlockProof] = []
        for ident, exact in self._snapshots(record, plan, disk):
            self._on_step(f"{disk.label}: reading blocks of {ident}")
            try:
                with self._readable(record, ident) as snapshot:
                    blocks.append(self._compare(record, disk, snapshot, given, exact=exact))
            except VmieError as error:
                notes.append(f"{ident} could not be read: {error}")
        stored = f"s3://{plan.bucket}/{disk.s3_key}" if plan.moves_bytes and not plan.direct else ""
        now = ""
        if stored and plan.route is not Route.INSTANCE:
            try:
                now = self._checksum_now(plan, disk)
            except VmieError as error:
                notes.append(f"{stored} could not be looked at: {error}")
            else:
                notes += [] if now else [f"{stored} is deleted, or S3 keeps no CRC64NVME of it"]
        return DiskProof(
            disk.key,
            disk.label,
            disk.host_sha256,
            disk.sha256,
            stored,
            disk.checksum if stored else "",
            now,
            tuple(blocks),
            tuple(notes),
        )

    def _checksum_now(self, plan: ImportPlan, disk: DiskRecord) -> str:
        found = ObjectStore(self._aws, plan.region).head(plan.bucket, disk.s3_key)
        return found.checksum if found else ""

    def _snapshots(self, record: JobRecord, plan: ImportPlan, disk: DiskRecord) -> Iterator[tuple[str, bool]]:
        """Ids of the snapshots to read, or of the instance route's volume, and whether they must be equal."""
        uploaded = disk.ledger.uploaded_snapshot
        if uploaded and uploaded != disk.snapshot_id:
            yield uploaded, True
        if disk.snapshot_id:
            yield disk.snapshot_id, plan.route not in CONVERTED or disk.snapshot_id == uploaded
        elif plan.route is Route.INSTANCE:
            made = [ident for ident in record.ledger_as(ImportLedger).to_tag if ident.startswith("vol-")]
            yield from ((ident, False) for ident in made)

    @contextmanager
    def _readable(self, record: JobRecord, ident: str) -> Iterator[SnapshotReader]:
        """The snapshot; for a volume, a temporary one."""
        region = record.plan.region
        if ident.startswith("vol-"):
            made = snapshot_of(self._aws, region, ident, f"vmie-tui proof of {record.id}")
            try:
                with SnapshotReader(self._aws, region, made) as snapshot:
                    yield snapshot
            finally:
                delete_snapshot(self._aws, region, made)
        else:
            with SnapshotReader(self._aws, region, ident) as snapshot:
                yield snapshot

    def _compare(
        self,
        record: JobRecord,
        disk: DiskRecord,
        snapshot: SnapshotReader,
        given: tuple[str, DiskSource] | None,
        *,
        exact: bool,
    ) -> BlockProof:
        against, wanted, whole = SAMPLES, iter(self._samples(record, disk).items()), False
        if self._all and disk.ledger.uploaded_snapshot:
            content = self._content(record, disk)
            journal = (content or BlockJournal(self._store, record.id, disk.key)).load()
            against, wanted = JOURNAL, ((index, digest.hex()) for index, digest in journal)
            whole = content is not None or not disk.ledger.parent_snapshot
        elif given is not None:
            against, source = given
            if self._all:
                wanted, whole = _blocks_of(source), True
            else:
                sampler = Sampler(seed_of(record.id, disk.key), disk.capacity)
                sample_disk(source, sampler, seed_of(record.id, disk.key))
                wanted = iter((sampler.samples | dict(disk.samples)).items())
        compared, absent = 0, 0
        different: list[int] = []
        for index, digest in wanted:
            data = snapshot.read_at(index * BLOCK, BLOCK)
            compared += 1
            if hashlib.sha256(data.ljust(BLOCK, b"\0")).hexdigest() != digest:
                different.append(index)
                absent += not data.strip(b"\0")
            if compared % 64 == 0:
                self._on_step(f"{disk.label}: {compared:,} blocks of {snapshot.snapshot_id} compared")
        passed = given is None and disk.done and isinstance(record.plan, ImportPlan) and record.plan.moves_bytes
        vacant = not compared and passed and exact and not any(snapshot.extents())
        return BlockProof(
            snapshot.snapshot_id, against, exact, compared, tuple(different), absent, whole and not vacant, vacant
        )

    def _samples(self, record: JobRecord, disk: DiskRecord) -> Mapping[int, str]:
        """The samples taken during the upload; of a replication's run, only of what changed."""
        content = self._content(record, disk)
        if content is None:
            return disk.samples
        sampler = sampler_for(record.id, disk.key, disk.capacity)
        sample_journal(content, sampler)
        return sampler.samples

    def _content(self, record: JobRecord, disk: DiskRecord) -> BlockDigests | None:
        """Digests of what all runs of a replication have put into the disk's snapshot, if this run is the newest."""
        if not isinstance(record.plan, ReplicationPlan):
            return None
        content = BlockDigests(self._store, record.plan.replication, disk.key)
        return content if content.is_of(disk.ledger.uploaded_snapshot) else None


def _still_there(plan: ImportPlan, disks: list[DiskRecord]) -> Source | None:
    """What can still be read of the upload; None for a machine whose blocks went to EBS."""
    if isinstance(plan.source, ObjectSource | SnapshotSource):
        return plan.source
    if plan.moves_bytes and not plan.direct and plan.route is not Route.INSTANCE and disks:
        keys = tuple(dict.fromkeys(disk.s3_key for disk in disks))
        return ObjectSource(plan.source.name, plan.bucket, keys, plan.upload_format.value)
    return plan.source if isinstance(plan.source, FileSource) else None


def _blocks_of(source: DiskSource) -> Iterator[tuple[int, str]]:
    """(index, SHA-256) of every block of a disk that has data."""
    for first, last in runs_of(source, BLOCK):
        for index in range(first, last):
            data = source.read_at(index * BLOCK, BLOCK)
            if data.strip(b"\0"):
                yield index, hashlib.sha256(data.ljust(BLOCK, b"\0")).hexdigest()
