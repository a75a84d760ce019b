"""An import at work: its plan, the services its Region offers, and what there is to undo."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from vmie_tui.jobs.context import JobContext, Undo
from vmie_tui.model.plan import ImportPlan

if TYPE_CHECKING:
    from vmie_tui.services.aws.objects import ObjectStore
    from vmie_tui.services.aws.vmimport import VmImport


class ImportContext(JobContext):
    """One import job in one phase."""

    plan: ImportPlan

    @property
    def objects(self) -> ObjectStore:
        from vmie_tui.services.aws.objects import ObjectStore

        return ObjectStore(self.aws, self.plan.region)

    @property
    def vm_import(self) -> VmImport:
        from vmie_tui.services.aws.vmimport import VmImport

        return VmImport(self.aws, self.plan.region)

    def undo(self) -> Iterator[Undo]:
        yield "the import task", self._cancel_task
        for disk in self.store.disks(self.job_id):
            yield f"the upload {disk.s3_key}", partial(self._remove_object, disk.s3_key)
        yield from self.let_go()

    def let_go(self) -> Iterator[Undo]:
        from vmie_tui.jobs.import_vm import remove_snapshot
        from vmie_tui.jobs.transfer import give_back

        yield "the export lease", lambda: give_back(self)
        yield "the snapshot", lambda: remove_snapshot(self)

    def _cancel_task(self) -> None:
        from vmie_tui.jobs.import_vm import task_to_cancel

        task_id = task_to_cancel(self)
        if task_id:
            self.vm_import.cancel(task_id)

    def _remove_object(self, key: str) -> None:
        self.objects.abort(self.plan.bucket, key)
        self.objects.delete(self.plan.bucket, key)
