"""Pause, resume, cancel and copy: the same keys on the list of jobs and on one job's page."""

from __future__ import annotations

from collections.abc import Callable

from textual import work

from vmie_tui.model.job import JobView
from vmie_tui.model.task import JobState, may_become
from vmie_tui.screens.base import FrameScreen, problem_of
from vmie_tui.screens.clipboard import copy_text


class JobActions(FrameScreen):
    """A screen with a job in view."""

    def job_in_view(self) -> JobView | None:
        raise NotImplementedError

    def action_pause(self) -> None:
        job = self._job_that("pause", JobState.PAUSED)
        if job:
            self._ask_client(job, "paused", self.backend.pause)

    def action_resume(self) -> None:
        job = self._job_that("resume", JobState.QUEUED)
        if job:
            self._ask_client(job, "resumed", self.backend.resume)

    def action_cancel(self) -> None:
        job = self._job_that("cancel", JobState.CANCELLING, JobState.CANCELLED)
        if job is None:
            return
        from vmie_tui.screens.confirm import ConfirmScreen

        text = "The transfer stops, what was uploaded is deleted, and the AWS task is cancelled. It cannot be resumed."

        def answered(yes: bool | None) -> None:
            if yes:
                self._ask_client(job, "is being cancelled", self.backend.cancel)

        question = ConfirmScreen(f"Cancel {job.kind} {job.name}?", text, yes="Cancel the job", no="Keep it")
        self.app.push_screen(question, answered)

    def action_explain(self) -> None:
        """The problem of the job in view, in full."""
        job = self.job_in_view()
        if job is None:
            return
        if job.problem is None:
            self.tell(f"{job.name} has no problem to explain.")
            return
        from vmie_tui.screens.explain import ExplainScreen

        self.app.push_screen(ExplainScreen(job.name, job.problem))

    def action_copy(self) -> None:
        job = self.job_in_view()
        if job is None:
            return
        text = job.image_id or (str(job.problem) if job.problem else job.id)
        self.copy(f"job-{job.id}.txt", text)

    def _job_that(self, verb: str, *states: JobState) -> JobView | None:
        """The job in view, or None, said in a toast, when its state forbids ``verb`` or the profile is read-only."""
        job = self.job_in_view()
        if job is None:
            return None
        if self.backend.profile.read_only:
            self.tell("This profile is read-only: jobs cannot be changed from it.", error=True)
            return None
        if not any(may_become(job.state, state) and job.state is not state for state in states):
            self.tell(f"{job.name} is {job.state.value}: it cannot be {verb}{'d' if verb[-1] == 'e' else 'led'}.")
            return None
        return job

    @work(thread=True, exclusive=False, group="job-change", exit_on_error=False)
    def _ask_client(self, job: JobView, done: str, change: Callable[[str], None]) -> None:
        try:
            change(job.id)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, str(problem_of(error)), error=True)
        else:
            self.app.call_from_thread(self.tell, f"{job.name} {done}.")
            self.vmie.poll_now()

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def copy(self, name: str, text: str) -> None:
        """Copy ``text``; the toast says where it went."""
        copy_in_thread(self, name, text)


def copy_in_thread(screen: FrameScreen, name: str, text: str) -> None:
    """Call in a thread: clipboard or tmux, and a file named ``name``."""
    app = screen.app
    try:
        said = copy_text(
            text,
            osc52=lambda value: app.call_from_thread(app.copy_to_clipboard, value),
            save=lambda value: screen.backend.save_text(name, value),
        )
    except OSError as error:
        app.call_from_thread(screen.tell, f"Could not copy: {error.strerror}", error=True)
    else:
        app.call_from_thread(screen.tell, said)
