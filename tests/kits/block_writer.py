"""A writer of snapshots in a process of its own, with its journal in a file: to be killed in the middle."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from vmie_tui.services.aws.ebs.snapshot_writer import SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.session import open_session
from vmie_tui.settings import AwsSettings


class FileJournal:
    """One line for each block; also the pairs form of `Journal.load`, in any order and with doubles."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Iterator[tuple[int, bytes]]:
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            index, digest = line.split()
            yield int(index), bytes.fromhex(digest)

    def append(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{index} {digest.hex()}\n" for index, digest in blocks)


class Unwatched:
    def check(self) -> None: ...

    def moved(self, nbytes: int, *, skipped: bool = False) -> None: ...


def start(settings: AwsSettings, source: Path, folder: Path) -> BaseProcess:
    """The process; ``folder`` gets ``snapshot`` (its id) and ``journal``."""
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(settings, source, folder), daemon=True)
    process.start()
    return process


def _run(settings: AwsSettings, source: Path, folder: Path) -> None:
    data = source.read_bytes()
    writer = SnapshotWriter(
        open_session(settings),
        None,
        SnapshotTarget(len(data), client_token=folder.name),
        journal=FileJournal(folder / "journal"),
        control=Unwatched(),
        parallel=2,
    )
    with writer as out:
        (folder / "snapshot").write_text(out.snapshot_id)
        out.put(0, memoryview(data))
        out.complete()
