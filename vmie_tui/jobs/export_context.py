"""An export at work: its plan, the services its Region offers, and what there is to undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vmie_tui.jobs.context import JobContext, Undo
from vmie_tui.model.export import ExportPlan

if TYPE_CHECKING:
    from vmie_tui.services.aws.download import Download
    from vmie_tui.services.aws.exports import Exports
    from vmie_tui.services.aws.objects import ObjectStore


class ExportContext(JobContext):
    """One export job in one phase."""

    plan: ExportPlan

    @property
    def exports(self) -> Exports:
        from vmie_tui.services.aws.exports import Exports

        return Exports(self.aws, self.plan.region)

    @property
    def objects(self) -> ObjectStore:
        from vmie_tui.services.aws.objects import ObjectStore

        return ObjectStore(self.aws, self.plan.region)

    @property
    def download(self) -> Download:
        from vmie_tui.services.aws.download import Download

        return Download(self.aws, self.plan.region)

    @property
    def key(self) -> str:
        """Of the object AWS has written, "" until it is known."""
        return str(self.record.ledger.get("key", ""))

    @property
    def destination(self) -> Path:
        """The file the object is downloaded to."""
        return Path(self.plan.download_to).expanduser() / self.key.rpartition("/")[2]

    def undo(self) -> Iterator[Undo]:
        yield "the export task", self._cancel_task
        yield "the exported object", self._remove_object
        yield "the unfinished download", self._forget_download
        yield from self.let_go()

    def let_go(self) -> Iterator[Undo]:
        return iter(())

    def _cancel_task(self) -> None:
        from vmie_tui.jobs.export_steps import own_task

        task = own_task(self)
        if task is not None and not task.terminal:
            self.exports.cancel(task.id)  # AWS removes what it has written so far

    def _remove_object(self) -> None:
        if self.key:
            self.objects.delete(self.plan.bucket, self.key)

    def _forget_download(self) -> None:
        from vmie_tui.services.aws.download import forget

        if self.key and self.plan.download_to:
            forget(self.destination)
