"""What can be done with a task of AWS: the same keys on the list of tasks and on one task's page."""

from __future__ import annotations

import json

from textual import work

from vmie_tui import __version__
from vmie_tui.model.errors import problem_of
from vmie_tui.model.task_history import TaskRecord
from vmie_tui.model.task_report import markdown
from vmie_tui.operations.tasks import Study
from vmie_tui.screens.frame.base import FrameScreen
from vmie_tui.screens.frame.clipboard import copy_in_thread
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.tasks.raw import RawScreen
from vmie_tui.screens.tasks.watch import WatchScreen


class TaskActions(FrameScreen):
    """A screen with a task in view."""

    def task_in_view(self) -> TaskRecord | None:
        raise NotImplementedError

    def studied(self) -> Study | None:
        """What is known of the task in view beyond the task, once it was looked up."""
        raise NotImplementedError

    def newer(self, record: TaskRecord) -> None:
        """How a task is after it was changed from here."""
        raise NotImplementedError

    def action_raw(self) -> None:
        record = self.task_in_view()
        if record is not None:
            raw = json.dumps(record.task.raw, indent=2, ensure_ascii=False, default=str, sort_keys=True)
            self.app.push_screen(RawScreen(record.task.id, raw))

    def action_watch(self) -> None:
        record = self.task_in_view()
        if record is not None:
            self.app.push_screen(WatchScreen(record))

    def action_copy(self) -> None:
        """A Markdown report for a ticket."""
        record = self.task_in_view()
        if record is not None:
            self._copy_report(record)

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def _copy_report(self, record: TaskRecord) -> None:
        try:
            now = self.host.now()
            phases = self.operations.tasks.study(record, now).phases
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, str(problem_of(error)), error=True)
        else:
            report = markdown(record, phases, now, versions=(("vmie-tui", __version__),))
            copy_in_thread(self, f"{record.task.id}.md", report)

    def action_bundle(self) -> None:
        record = self.task_in_view()
        if record is not None:
            self._bundle(record)

    @work(thread=True, exclusive=True, group="bundle", exit_on_error=False)
    def _bundle(self, record: TaskRecord) -> None:
        try:
            path = self.operations.tasks.bundle(record, self.host.now())
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, str(problem_of(error)), error=True)
        else:
            self.app.call_from_thread(self.tell, f"Bundle for a ticket, look into it before you send it: {path}")

    def action_cancel(self) -> None:
        """Ask, then ask AWS; what certainly cannot be cancelled says why at once."""
        record = self.task_in_view()
        if record is None:
            return
        task = record.task
        why = self.operations.tasks.why_not_cancel(record)
        if why:
            self.tell(f"{task.id} cannot be cancelled: {why}.", error="read-only" in why)
            return

        percent = f" at {task.progress}%" if task.progress is not None else ""
        text = (
            f"The {task.kind.value} task in {task.region} (profile {record.profile}) is {task.state}{percent}. "
            "AWS stops it and removes what it has made so far. It cannot be resumed; a job that waits for it fails."
        )

        def answered(yes: bool | None) -> None:
            if yes:
                self._cancel(record)

        self.app.push_screen(ConfirmScreen(f"Cancel {task.id}?", text, yes="Cancel the task", no="Keep it"), answered)

    @work(thread=True, exclusive=False, group="task-change", exit_on_error=False)
    def _cancel(self, record: TaskRecord) -> None:
        try:
            self.operations.tasks.cancel(record)
            now = self.operations.tasks.look(record)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, f"{record.task.id} was not cancelled. {problem_of(error)}", error=True)
        else:
            self.app.call_from_thread(self.tell, f"{record.task.id} is being cancelled.")
            self.app.call_from_thread(self.newer, now)
