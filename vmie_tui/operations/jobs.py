"""Jobs: submitted, read and steered. Cheap to import: the workflow engine is the worker's alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

from vmie_tui.jobs.engine.worker_process import (
    announced,
    ensure_worker,
    executor_id,
    is_starting,
    start_failure,
    worker_pid,
)
from vmie_tui.jobs.imports.fallback_unmodified import fallback_plan
from vmie_tui.jobs.imports.proof import Prover
from vmie_tui.jobs.store.kinds import JobPlan
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.store import CANCEL, PAUSE, Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.formatting import one_line
from vmie_tui.model.job import JobView, LogLine, Stage, StageState, WorkerStatus
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.proof import Proof
from vmie_tui.model.task import JOB_TRANSITIONS, JobState
from vmie_tui.services.aws.session import open_session
from vmie_tui.services.read_only import Policy
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.settings import Settings

SILENT_SECONDS = 30.0  # a worker writes its heartbeat every two seconds, and may wait for a busy database
ACTIVE = frozenset({JobState.RUNNING, JobState.CANCELLING})


def _leading_to(*targets: JobState) -> frozenset[JobState]:
    return frozenset(one for one in JobState if JOB_TRANSITIONS[one] & set(targets))


STEERABLE = {  # the states in which a job can be
    "pause": _leading_to(JobState.PAUSED),
    # A live one too: where its worker is gone, another takes it up.
    "resume": _leading_to(JobState.QUEUED) | {state for state in JobState if state.live},
    "cancel": _leading_to(JobState.CANCELLING),
}


class Jobs:
    """Every method blocks: call it in a thread. Raises ServiceError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings.state_dir, settings.database_url)
        self._seen: dict[str, JobView] = {}
        self._looking = threading.Lock()

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def submit(self, plan: JobPlan) -> str:
        """Record the plan as a job and see that a worker runs; returns the job's id."""
        profile = self._settings.profile(plan.profile)
        Policy(profile.read_only).check_work("started", plan.profile)
        with announced(self._settings):
            job_id = self._store.create(plan)
            self.ensure_worker()
        return job_id

    def submit_at_once(self, plan: JobPlan) -> str:
        """As `submit`, without waiting for the worker: `worker` tells how its start gets on."""
        profile = self._settings.profile(plan.profile)
        Policy(profile.read_only).check_work("started", plan.profile)
        with ExitStack() as announcing:
            announcing.enter_context(announced(self._settings))
            job_id = self._store.create(plan)
            starting = announcing.pop_all()
        threading.Thread(target=self._start_worker, args=(starting,), name="start-worker").start()
        return job_id

    def _start_worker(self, announcing: ExitStack) -> None:
        with announcing, suppress(ServiceError):  # `worker`, and the job itself, say why
            self.ensure_worker()

    def jobs(self, profile: str | None = None) -> list[JobView]:
        """All jobs, newest first. Those that are over are read once: replications make thousands."""
        with self._looking:
            if not self._store.exists:  # taken away meanwhile
                self._seen.clear()
            changed = self._store.changed_views(self._seen.values())
            self._seen.update({view.id: view for view in changed})
            views = sorted(self._seen.values(), key=lambda view: (-view.created.timestamp(), view.id))
        return [view for view in views if profile in {None, view.profile}]

    def job(self, job_id: str) -> JobView:
        """One job by its id or a prefix only it has."""
        return self._store.views(job_id=self._store.resolve(job_id))[0]

    def plan(self, job_id: str) -> JobPlan:
        """What a job was asked to do."""
        return self._store.record(self._store.resolve(job_id)).plan

    def image_of(self, job_id: str) -> tuple[str, ImportPlan]:
        """(the AMI a job has made, its plan). Raises ServiceError CONFLICT where there is none."""
        view = self.job(job_id)
        plan = self.plan(view.id)
        if not view.image_id or not isinstance(plan, ImportPlan):
            raise ServiceError(
                ErrorKind.CONFLICT,
                no_image(view),
                subject=view.id,
                remedy="Give a job of the routes image, image-direct or unmodified that is done",
            )
        return view.image_id, plan

    def log(self, job_id: str, tail: int = 200) -> list[LogLine]:
        """The last lines of a job's log, oldest first."""
        return self._store.lines(self._store.resolve(job_id), tail)

    def cancel(self, job_id: str) -> None:
        """Stop a job for good; the worker cleans up within seconds."""
        job_id = self._may_steer(job_id, "cancelled")
        if not self._store.become(job_id, JobState.CANCELLING, control=CANCEL, message="cancelling: cleaning up"):
            raise self._wrong_state(job_id, "cancelled")
        self._store.log(job_id, "cancel requested by the user")
        self.ensure_worker()

    def pause(self, job_id: str) -> None:
        """Stop a job for now; what was uploaded is kept."""
        job_id = self._may_steer(job_id, "paused")
        if self._store.record(job_id).state not in STEERABLE["pause"]:
            raise self._wrong_state(job_id, "paused")
        self._store.update(job_id, control=PAUSE, message="pausing")
        self._store.log(job_id, "pause requested by the user")
        self.ensure_worker()

    def resume(self, job_id: str) -> None:
        """Go on with a job that was paused, waits for a login or failed, where it stopped.

        One that is under way, but whose worker is gone, gets another worker.
        """
        job_id = self._may_steer(job_id, "resumed")
        profile = self._settings.table.get(self._store.record(job_id).plan.profile)
        if profile is not None and profile.vcenter is not None:
            REFUSED.forget(profile.vcenter)  # the user wants the password tried once more
        with announced(self._settings):
            if self._store.requeue(job_id):
                self.ensure_worker()
            elif not self._store.record(job_id).state.live or not self.ensure_worker():
                raise self._wrong_state(job_id, "resumed")

    def fallback(self, job_id: str) -> str:
        """Start an unmodified import of what a failed job brought to AWS, without a new upload; the new job's id.

        Raises ServiceError CONFLICT for a job that did not fail, or that has fallen back already; REFUSED with the
        reason where its bytes cannot be used.
        """
        job_id = self._may_steer(job_id, "fallen back from")
        record = self._store.record(job_id)
        plan = fallback_plan(record, self._store.disks(job_id))
        before = record.ledger_as(ImportLedger).fallback_job
        if before and self._store.record(before).state not in {JobState.CANCELLED, JobState.FAILED}:
            raise ServiceError(ErrorKind.CONFLICT, "the job has fallen back already", subject=job_id, detail=before)
        with announced(self._settings):
            new = self._store.create(plan, ImportLedger(from_job=job_id))
            self._store.remember(job_id, ImportLedger, fallback_job=new)
            self._store.log(job_id, f"job {new} goes on with what was uploaded, unmodified")
            self.ensure_worker()
        return new

    def proof(
        self, job_id: str, *, all_blocks: bool = False, on_step: Callable[[str], None] = lambda text: None
    ) -> Proof:
        """Compare what a job's source sent with what AWS holds now; ``on_step`` hears what is being read.

        Samples of each disk are read back from EBS, with ``all_blocks`` every block with data that is known. Raises
        ServiceError INVALID for a job that is no import, LOGIN and the like when AWS cannot be asked.
        """
        record = self._store.record(self._store.resolve(job_id))
        profile = self._settings.profile(record.plan.profile)
        aws = open_session(profile.aws, read_only=profile.read_only)
        return Prover(self._store, aws, all_blocks=all_blocks, on_step=on_step).prove(record)

    def worker(self) -> WorkerStatus:
        """The worker of this state folder, and how much it has to do."""
        state_dir = self._settings.state_dir
        pid = worker_pid(state_dir)
        stored = self._store.exists
        counts = self._store.counts() if stored else {}
        beat = self._store.heartbeat(executor_id(self._settings)) if stored and pid is not None else None
        serves = beat is not None and beat[0] == pid
        silent = beat is not None and serves and time.time() - beat[2] > SILENT_SECONDS
        starting = not serves if pid is not None else is_starting(state_dir)
        return WorkerStatus(
            alive=pid is not None and not silent,
            pid=pid,
            since=datetime.fromtimestamp(beat[1], UTC) if beat and serves else None,
            running=sum(counts.get(state, 0) for state in ACTIVE),
            queued=counts.get(JobState.QUEUED, 0),
            starting=starting,
            silent_since=datetime.fromtimestamp(beat[2], UTC) if beat and silent else None,
            problem=None if pid is not None or starting else start_failure(state_dir),
        )

    def ensure_worker(self) -> bool:
        """Start a worker, detached from this terminal, unless one runs; whether it was started.

        Raises ServiceError REFUSED when everything is read-only, LOCAL with the reason when it cannot start.
        """
        return ensure_worker(self._settings)

    def _may_steer(self, job_id: str, verb: str) -> str:
        """The job's full id, if its profile may change anything."""
        job_id = self._store.resolve(job_id)
        Policy(self._settings.only_reads(self._store.record(job_id).plan.profile)).check_work(verb, job_id)
        return job_id

    def _wrong_state(self, job_id: str, verb: str) -> ServiceError:
        state = self._store.record(job_id).state
        return ServiceError(ErrorKind.CONFLICT, f"a job that is {state.value} cannot be {verb}", subject=job_id)


# -- what cannot be asked of a job, and why


def no_fallback(job: JobView) -> str:
    """Why the bytes in AWS cannot be used instead of the conversion; "" when they can."""
    if job.kind == "replicate":
        return f"{job.name} is a run of a replication: the next run takes its place, or r tries it again."
    if not job.inward:
        return f"{job.name} is no import: there is nothing to fall back to."
    if job.state is not JobState.FAILED:
        return f"{job.name} is {job.state.value}: this is for imports that failed at the conversion."
    if job.stage is not Stage.IMPORT:
        where = job.stage.value if job.stage else "its start"
        return f"{job.name} failed at {where}, not at the conversion: its bytes are not all in AWS."
    return ""


def no_proof(job: JobView) -> str:
    """Why there is nothing to compare yet; "" when there is."""
    if not job.inward:
        return f"{job.name} is no import: there is nothing to prove."
    if not any(disk.state is StageState.DONE or disk.snapshot_id for disk in job.disks):
        return f"{job.name} is {job.state.value}, and none of its disks is in AWS yet: there is nothing to compare."
    return ""


def no_image(job: JobView) -> str:
    """Why there is no AMI to go on with."""
    if not job.inward:
        return f"{job.name} is no import: what it made is {one_line(job.message) or 'not there yet'}."
    if job.state is JobState.DONE:
        return f"{job.name} made no AMI ({one_line(job.message) or 'its route ends without one'})."
    return f"{job.name} has no AMI yet: it is {job.state.value}."
