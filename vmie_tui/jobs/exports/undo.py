"""What a cancelled export removes."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.jobs.engine.ports import Undo
from vmie_tui.jobs.exports.context import ExportContext
from vmie_tui.jobs.exports.deploy import remove_machine
from vmie_tui.jobs.exports.steps import own_task
from vmie_tui.services.aws.s3.download import NOTES, forget


class ExportUndo:
    """`ports.Cleanup` of one export."""

    def __init__(self, context: ExportContext) -> None:
        self.context = context

    def undo(self) -> Iterator[Undo]:
        plan = self.context.plan
        yield "the export task", self._cancel_task
        if plan.deploy is not None:
            yield f"the machine {plan.deploy.name}", lambda: remove_machine(self.context)
        yield "the exported object", self._remove_objects
        yield "the unfinished download", self._forget_download

    def give_back(self) -> Iterator[Undo]:
        """Nothing: an export holds nothing in vCenter or AWS while it waits for a resume."""
        return iter(())

    def _cancel_task(self) -> None:
        task = own_task(self.context)
        if task is not None and not task.terminal:
            self.context.exports.cancel(task.id)  # AWS removes what it has written so far

    def _remove_objects(self) -> None:
        for key, _ in self.context.objects_written:
            self.context.remove_object(key)

    def _forget_download(self) -> None:
        context = self.context
        if context.plan.download_to:
            for key, _ in context.objects_written:
                forget(context.destination(key), context.settings.state_dir / NOTES)
