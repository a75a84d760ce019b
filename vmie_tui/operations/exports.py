"""What the exports screen does with AWS: one protocol, and its real implementation over services.

Every method blocks: call it in a thread worker. Raises ServiceError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vmie_tui.model.exportable import Exportable
    from vmie_tui.model.task import Task
    from vmie_tui.operations.connections import Connections
    from vmie_tui.services.aws.s3.download import Downloaded
    from vmie_tui.services.aws.s3.export_bucket import BucketReport

OnSources = Callable[["Sequence[Exportable]"], None]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A finished export to bring to this machine; ``folder`` is where to."""

    task: Task
    region: str
    folder: str


class DownloadStopped(Exception):
    """The user stopped a download; what it has brought stays for the next."""


class Outward(Protocol):
    def sources(self, region: str, on_page: OnSources) -> None: ...
    def tasks(self, region: str) -> tuple[Task, ...]: ...
    def look(self, region: str, source_id: str) -> Exportable: ...
    def bucket(self, region: str, name: str, *, instance: bool) -> BucketReport: ...
    def grant(self, region: str, report: BucketReport) -> BucketReport: ...
    def fetch(self, wanted: Fetch, on_bytes: Callable[[int, int], None], stopped: Callable[[], bool]) -> Downloaded: ...


class LiveOutward:
    def __init__(self, connections: Connections) -> None:
        self._session, self._state_dir = connections.aws, connections.settings.state_dir

    def sources(self, region: str, on_page: OnSources) -> None:
        """Instances, then images, a page at a time."""
        from vmie_tui.services.aws.ec2.exportable import ExportableSources

        candidates = ExportableSources(self._session(), region)
        candidates.instances(on_page)
        candidates.images(on_page)

    def tasks(self, region: str) -> tuple[Task, ...]:
        """The exports AWS lists; a running one's subject is read besides, which lists leave out."""
        from vmie_tui.services.aws.vmie.export_tasks import ExportTasks

        return tuple(ExportTasks(self._session(), region).tasks())

    def look(self, region: str, source_id: str) -> Exportable:
        from vmie_tui.services.aws.ec2.exportable import ExportableSources

        return ExportableSources(self._session(), region).look(source_id)

    def bucket(self, region: str, name: str, *, instance: bool) -> BucketReport:
        from vmie_tui.services.aws.s3.export_bucket import ExportBuckets

        return ExportBuckets(self._session(), region).look(name, instance=instance)

    def grant(self, region: str, report: BucketReport) -> BucketReport:
        """Let the export service write to the bucket: the changes of ownership and ACL that were shown."""
        from vmie_tui.services.aws.s3.export_bucket import ExportBuckets

        return ExportBuckets(self._session(), region).apply(report)

    def fetch(self, wanted: Fetch, on_bytes: Callable[[int, int], None], stopped: Callable[[], bool]) -> Downloaded:
        """Bring the object here, proven by S3's checksum; ``on_bytes`` hears (bytes here, of how many)."""
        from vmie_tui.services.aws.s3.download import NOTES, Download
        from vmie_tui.services.aws.vmie.export_tasks import ExportTasks

        aws = self._session()
        found = ExportTasks(aws, wanted.region).find_object(wanted.task)
        folder = Path(wanted.folder).expanduser()
        target = folder / found.key.rpartition("/")[2]
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
