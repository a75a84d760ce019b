"""What can be done with a job: the same keys on the list of jobs and on one job's page."""

from __future__ import annotations

from collections.abc import Callable

from textual import work

from vmie_tui.model.errors import problem_of
from vmie_tui.model.job import JobView
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.task import JobState
from vmie_tui.operations.images import finished_import
from vmie_tui.operations.jobs import STEERABLE, no_fallback, no_image, no_proof
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.explain import ExplainScreen
from vmie_tui.screens.jobs.image import ImageScreen
from vmie_tui.screens.jobs.proof import ProofScreen
from vmie_tui.widgets.text import clean

DONE = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}


class AfterJob(Copying):
    """A screen with a job in view, whose AMI and proof can be seen."""

    def job_in_view(self) -> JobView | None:
        raise NotImplementedError

    def action_after(self) -> None:
        """The AMI the job made: test launch, copies, names, and the way to be rid of it."""
        job = self.job_in_view()
        if job is None:
            return
        if not job.image_id:
            self.tell(no_image(job))
            return
        self._open_after(job)

    @work(thread=True, exclusive=True, group="after", exit_on_error=False)
    def _open_after(self, job: JobView) -> None:
        try:
            plan = self.operations.jobs.plan(job.id)
            machine = self.operations.vcenter.machine_of(plan) if isinstance(plan, ImportPlan) else None
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, str(problem_of(error)), error=True)
            return
        if isinstance(plan, ImportPlan):
            self.app.call_from_thread(self.app.push_screen, ImageScreen(finished_import(job, plan, machine)))
        else:
            self.app.call_from_thread(self.tell, f"{job.name} is no import: there is no AMI of its own.")

    def action_proof(self) -> None:
        """What the source sent, what arrived and what AWS holds, side by side."""
        job = self.job_in_view()
        if job is None:
            return
        why_not = no_proof(job)
        if why_not:
            self.tell(why_not)
            return

        self.app.push_screen(ProofScreen(job.id, job.name))


class JobActions(AfterJob):
    """A screen with a job in view, that can be paused, resumed, cancelled."""

    def show_hints(self, extra: tuple[tuple[str, str], ...] = ()) -> None:
        """First what suits the job in view: what to do about a failure, or what comes after success."""
        job = self.job_in_view()
        suited: tuple[tuple[str, str], ...] = ()
        if job is not None and job.state is JobState.DONE:
            suited = (() if no_proof(job) else (("v", "proof"),)) + ((("a", "after import"),) if job.image_id else ())
        elif job is not None and job.state is JobState.FAILED:
            suited = (("e", "explain"), *(() if no_fallback(job) else (("b", "use what is there"),)))
        super().show_hints((*extra, *suited))

    def action_pause(self) -> None:
        job = self._job_that("pause")
        if job:
            self._ask_client(job, "paused", self.operations.jobs.pause)

    def action_resume(self) -> None:
        job = self._job_that("resume")
        if job:
            self._ask_client(job, "resumed", self.operations.jobs.resume)

    def action_cancel(self) -> None:
        job = self._job_that("cancel")
        if job is None:
            return

        text = "The transfer stops, what was uploaded is deleted, and the AWS task is cancelled. It cannot be resumed."
        if job.kind == "export":
            text = "AWS stops the export and removes what it has written; a download stops. It cannot be resumed."
        elif job.kind == "replicate":
            text = "The copy stops, what it made in AWS is deleted. The next run goes on from the last complete one."

        def answered(yes: bool | None) -> None:
            if yes:
                self._ask_client(job, "is being cancelled", self.operations.jobs.cancel)

        question = ConfirmScreen(f"Cancel {job.words}?", text, yes="Cancel the job", no="Keep it")
        self.app.push_screen(question, answered)

    def action_explain(self) -> None:
        """The problem of the job in view, in full."""
        job = self.job_in_view()
        if job is None:
            return
        if job.problem is None:
            self.tell(f"{job.name} has no problem to explain.")
            return

        self.app.push_screen(ExplainScreen(job.name, job.problem))

    # -- after the job

    def action_fallback(self) -> None:
        """Make an AMI of the bytes that are in AWS, when the conversion refused them."""
        job = self.job_in_view()
        if job is None or not self._may_start():
            return
        why_not = no_fallback(job)
        if why_not:
            self.tell(why_not)
            return

        said = clean(job.problem.detail or job.problem.what) if job.problem else "the conversion failed"
        text = (
            f"AWS said: {said}. Its disks are in AWS already. They become EBS snapshots and an AMI as they are, by a "
            "job of its own: nothing is uploaded again. AWS adds no drivers then and checks nothing, so "
            "whether it boots is up to the guest."
        )

        def answered(yes: bool | None) -> None:
            if yes:
                self._fall_back(job)

        question = ConfirmScreen(f"Import {job.name} unmodified?", text, yes="Use what is in AWS", no="Leave it")
        self.app.push_screen(question, answered)

    @work(thread=True, exclusive=False, group="job-change", exit_on_error=False)
    def _fall_back(self, job: JobView) -> None:
        try:
            started = self.operations.jobs.fallback(job.id)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.app.call_from_thread(self.tell, str(problem_of(error)), error=True)
        else:
            self.app.call_from_thread(self._fell_back, job.name, started)

    def _fell_back(self, name: str, started: str) -> None:
        self.tell(f"{name} is imported unmodified by job {started}.")
        self.host.wanted_job = started
        self.host.poll_now()
        self.host.show_list("jobs")

    def _may_start(self) -> bool:
        if self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be started from it.", error=True)
            return False
        return True

    def action_copy(self) -> None:
        job = self.job_in_view()
        if job is None:
            return
        made = job.target if job.kind == "export" and job.state is JobState.DONE else job.image_id
        text = made or (str(job.problem) if job.problem else job.id)
        self.copy(f"job-{job.id}.txt", text)

    def _job_that(self, verb: str) -> JobView | None:
        """The job in view, or None, said in a toast, when its state forbids ``verb`` or the profile is read-only."""
        job = self.job_in_view()
        if job is None:
            return None
        if self.operations.profile.read_only:
            self.tell("This profile is read-only: jobs cannot be changed from it.", error=True)
            return None
        if job.state not in STEERABLE[verb]:
            self.tell(f"{job.name} is {job.state.value}: it cannot be {DONE[verb]}.")
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
            self.host.poll_now()
