"""Blocks to compare later: chosen from a seed while a disk is moved, for the proof that AWS holds what was sent."""

from __future__ import annotations

import hashlib
import random
import zlib

from vmie_tui.jobs.store.block_digests import BlockDigests
from vmie_tui.jobs.store.block_journal import BlockJournal
from vmie_tui.services.disks.streams.proof_samples import BLOCK, MOST, Sampler
from vmie_tui.services.disks.streams.source import DiskSource

LOOKS = 4  # blocks looked at for each one wanted: many are zeros


def seed_of(job_id: str, key: int) -> int:
    """The choice of blocks of a job's disk: always the same."""
    return zlib.crc32(f"{job_id}/{key}".encode())


def sampler_for(job_id: str, key: int, capacity: int) -> Sampler:
    return Sampler(seed_of(job_id, key), capacity)


def sample_disk(source: DiskSource, sampler: Sampler, seed: int) -> None:
    """Samples of a disk that can be read anywhere, when its bytes do not pass by."""
    areas = [(start // BLOCK, -(-(start + length) // BLOCK)) for start, length in source.extents() if length]
    chosen = random.Random(seed)  # noqa: S311 - a choice, not a secret
    total = sum(last - first for first, last in areas)
    picks = sorted(chosen.sample(range(total), min(total, MOST * LOOKS)))
    before, area = 0, 0
    found = 0
    for pick in picks:
        while pick - before >= areas[area][1] - areas[area][0]:
            before += areas[area][1] - areas[area][0]
            area += 1
        index = areas[area][0] + pick - before
        data = source.read_at(index * BLOCK, BLOCK)
        if data.strip(b"\0"):
            sampler.note(index, hashlib.sha256(data.ljust(BLOCK, b"\0")).hexdigest())
            found += 1
            if found >= MOST:
                return


def sample_journal(journal: BlockJournal | BlockDigests, sampler: Sampler) -> None:
    """Samples of what was put into a snapshot, by whichever attempt."""
    zeros = hashlib.sha256(bytes(BLOCK)).digest()
    for index, digest in journal.load():
        if digest != zeros:
            sampler.note(index, digest.hex())
