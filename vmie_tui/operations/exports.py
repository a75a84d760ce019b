"""Exports out of EC2: what can be exported, the bucket it goes to, AWS's export tasks, and what they wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmie_tui.model.exportable import Exportable
from vmie_tui.model.task import Task
from vmie_tui.operations.connections import Connections
from vmie_tui.services.aws.ec2.exportable import ExportableSources
from vmie_tui.services.aws.s3.download import NOTES, Download, Downloaded
from vmie_tui.services.aws.s3.export_bucket import BucketReport, ExportBuckets
from vmie_tui.services.aws.vmie.export_tasks import ExportTasks

OnSources = Callable[[Sequence[Exportable]], None]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A finished export to bring to this machine."""

    task: Task
    region: str
    folder: str  # where to


class DownloadStopped(Exception):
    """The user stopped a download; what it has brought stays for the next."""


class Exports:
    """Every method blocks: call it in a thread. Raises ServiceError."""

    def __init__(self, connections: Connections) -> None:
        self._session = connections.aws
        self._state_dir = connections.settings.state_dir  # where unfinished downloads are noted

    def sources(self, region: str, on_page: OnSources) -> None:
        """Instances, then images, a page at a time."""
        candidates = ExportableSources(self._session(), region)
        candidates.instances(on_page)
        candidates.images(on_page)

    def tasks(self, region: str) -> tuple[Task, ...]:
        """The exports AWS lists; a running one's subject is read besides, which lists leave out."""
        return tuple(ExportTasks(self._session(), region).tasks())

    def look(self, region: str, source_id: str) -> Exportable:
        return ExportableSources(self._session(), region).look(source_id)

    def bucket(self, region: str, name: str, *, instance: bool) -> BucketReport:
        return ExportBuckets(self._session(), region).look(name, instance=instance)

    def grant(self, region: str, report: BucketReport) -> BucketReport:
        """Let the export service write to the bucket: the changes of `BucketReport.grant`, as they were shown."""
        return ExportBuckets(self._session(), region).apply(report)

    def fetch(self, wanted: Fetch, on_bytes: Callable[[int, int], None], stopped: Callable[[], bool]) -> Downloaded:
        """Bring the object here, proven by S3's checksum; ``on_bytes`` hears (bytes here, of how many)."""
        aws = self._session()
        found = ExportTasks(aws, wanted.region).find_objects(wanted.task)[0]
        target = Path(wanted.folder).expanduser() / found.key.rpartition("/")[2]
        report = _DownloadReport(found.size, on_bytes, stopped)
        download = Download(aws, wanted.region, self._state_dir / NOTES)
        return download.fetch(found.bucket, found.key, target, control=report)


class _DownloadReport:
    """Follows a download (`TransferControl`)."""

    def __init__(self, size: int, on_bytes: Callable[[int, int], None], stopped: Callable[[], bool]) -> None:
        self._size, self._on_bytes, self._stopped = size, on_bytes, stopped
        self._here = 0

    def check(self) -> None:
        if self._stopped():
            raise DownloadStopped

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        self._here += nbytes
        self._on_bytes(self._here, self._size)
