"""The worker process: takes up queued jobs, hears the user's wishes, cleans up after cancelled ones."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import logging.handlers
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from sqlalchemy.exc import DBAPIError

from vmie_tui.jobs.engine import phases
from vmie_tui.jobs.engine.context import AwsSessions, Runtime
from vmie_tui.jobs.engine.control import Controls, JobControl
from vmie_tui.jobs.engine.crashed_jobs import MOST_DEATHS, CrashedJobs, set_aside
from vmie_tui.jobs.engine.outcome import cancel, fail, give_back, record_failure
from vmie_tui.jobs.engine.phases import is_foreign, open_job, poll_seconds
from vmie_tui.jobs.engine.worker_process import Report, executor_id, limit_arenas, worker_lock
from vmie_tui.jobs.flows import FLOWS
from vmie_tui.jobs.replication.scheduler import Scheduler
from vmie_tui.jobs.store.database import DATABASE_FILE, is_damaged, local_problem
from vmie_tui.jobs.store.records import JobRecord
from vmie_tui.jobs.store.store import PAUSE, Store
from vmie_tui.jobs.transfer.disk_images import clear_scratch
from vmie_tui.jobs.transfer.export_lease import open_holders
from vmie_tui.known_secrets import HidingFormatter, hide_in_tracebacks, remember_environment
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError, VmieError
from vmie_tui.model.task import JobState
from vmie_tui.pidlock import PidLock
from vmie_tui.private_files import private_dir, private_fd
from vmie_tui.services.aws.s3.buffer_budget import SHARED
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.settings import Settings

BEAT_SECONDS = 2.0
LOOK_SECONDS, LOST_SECONDS = 1.0, 4.0
SCHEDULE_SECONDS = 1.0
DISPATCH_TRIES = 3
RELEASE_SECONDS = 5.0
END_SECONDS = 8.0  # after SIGTERM
FROZEN_SECONDS = 120.0  # without a turn for any Python thread, after which the process ends itself
BUG_SECONDS = 10.0  # after an error that should not be: the log is not to be filled with it
PART_BYTES = 96 << 20  # for the parts of all transfers: keeps the whole worker below 256 MiB
LOST = Problem(
    ErrorKind.LOCAL,
    "the work was interrupted and its state could not be saved",
    remedy="Check that the state folder has free space, then resume the job: it goes on where it stopped",
    retry_safe=True,
)
FOREIGN = Problem(
    ErrorKind.CORRUPT,
    "the job database holds rows of this job that vmie-tui did not write; they were not read",
    remedy="See who else may write to the database, take that right away, then resume the job: it goes on where it "
    "stopped",
)
LOG_BYTES, LOG_FILES = 2_000_000, 3
ENGINE_LOG, FROZEN_LOG = "engine.log", "frozen.log"

_log = logging.getLogger("vmie_tui.worker")


def run(settings: Settings, *, idle_minutes: float | None = None, report_to: int | None = None) -> int:
    """Work until told to stop, or until idle for ``idle_minutes``. 1 when another worker has this state folder.

    ``report_to``: the file descriptor that hears whether it started. Raises ServiceError when it cannot.
    """
    report = Report(report_to)
    with worker_lock(settings.state_dir) as lock:
        if not lock.acquire():
            sys.stderr.write(f"another worker already serves {settings.state_dir}\n")
            return 1
        remember_environment()
        REFUSED.share(settings.state_dir, heed=True)
        _write_log(settings)
        hide_in_tracebacks()
        limit_arenas()
        worker = Worker(settings, idle_minutes)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, worker.on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=_end_when_frozen, args=(settings,), name="guard", daemon=True).start()
        try:
            worker.start()
        except Exception as error:
            _log.exception("the worker cannot start")
            failure = _in_words(error, settings)
            report.failed(failure.problem)
            raise failure from error
        report.serving()
        sys.stderr.write(f"worker {os.getpid()} serves {settings.state_dir}\n")
        try:
            worker.serve(lock)
        finally:
            logging.shutdown()
            # Threads may still move bytes; their workflows stay pending and the next worker takes them up.
            sys.stderr.flush()
            os._exit(0)


def _end_when_frozen(settings: Settings) -> None:
    """Let the C library end this process, with all stacks in a file, once no Python thread gets a turn any more."""
    with os.fdopen(private_fd(private_dir(settings.log_dir) / FROZEN_LOG, os.O_WRONLY | os.O_TRUNC), "w") as file:
        while True:
            faulthandler.dump_traceback_later(FROZEN_SECONDS, exit=True, file=file)
            time.sleep(FROZEN_SECONDS / 10)


def _in_words(error: Exception, settings: Settings) -> VmieError:
    """Why the engine, or the database, does not do what it should; the traceback is in the log."""
    if isinstance(error, VmieError):
        return error
    if isinstance(error, DBAPIError):
        return local_problem(error, "" if settings.database_url else settings.state_dir / DATABASE_FILE)
    return ServiceError(
        ErrorKind.LOCAL,
        "the workflow engine refuses",
        remedy=f"See {settings.log_dir / ENGINE_LOG}",
        retry_safe=True,
        detail=f"{type(error).__name__}: {error}".split("\n", 1)[0],
    )


def _write_log(settings: Settings) -> None:
    """The engine's and our own log go to a file; nothing but plain lines goes to the terminal."""
    logging.raiseExceptions = False  # a full disk must not fill the terminal
    path = private_dir(settings.log_dir) / ENGINE_LOG
    handler = _PrivateLog(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    handler.setFormatter(HidingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in ("dbos", "vmie_tui"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING if name == "dbos" else logging.INFO)


class _PrivateLog(logging.handlers.RotatingFileHandler):
    """Each new file is its owner's alone too."""

    def _open(self) -> io.TextIOWrapper:
        fd = private_fd(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND)
        return io.TextIOWrapper(os.fdopen(fd, "ab"), encoding="utf-8", errors="backslashreplace")


class Worker:
    """The loop beside the workflow engine."""

    def __init__(self, settings: Settings, idle_minutes: float | None) -> None:
        self._settings = settings
        self._idle_seconds = None if idle_minutes is None else idle_minutes * 60
        self._stop = threading.Event()
        self._store = Store(settings.state_dir, settings.database_url)
        self._controls = Controls()
        self._executor = executor_id(settings)
        self._crashed_jobs = CrashedJobs(self._store, self._executor)
        self._runtime = Runtime(settings, self._store, self._controls, AwsSessions(), self._stop, self._crashed_jobs)
        self._scheduler = Scheduler(settings, self._store, self._runtime.sessions)
        self._started = time.time()
        self._beaten = self._looked = self._scheduled = 0.0
        self._suspects: dict[str, float] = {}
        self._refused: dict[str, int] = {}  # jobs, and how often the workflow engine did not take them
        self._busy = time.monotonic()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self._stop.is_set():
            self._stop.set()
            threading.Thread(target=self._end_at_last, name="end", daemon=True).start()

    def _end_at_last(self) -> None:
        """Whatever the loop waits for, this process is gone soon after it was told to end."""
        with contextlib.suppress(VmieError):
            self._store.unmark_all(self._executor)
        time.sleep(END_SECONDS)
        _log.warning("ended after %.0f s, in the middle of work", END_SECONDS)
        os._exit(0)

    def start(self) -> None:
        """Launch the engine; it takes up the workflows a killed predecessor left."""
        SHARED.limit = PART_BYTES
        self._store.say_waiting()
        aside = self._set_aside()
        clear_scratch(self._settings.state_dir)
        phases.launch(self._runtime, FLOWS, self._executor)
        for job_id in aside:
            threading.Thread(target=self._give_back, args=(job_id,), name="give-back", daemon=True).start()
        self._store.beat(self._executor, os.getpid(), self._started)  # not before: it says that this worker serves

    def _set_aside(self) -> list[str]:
        """Before the engine takes them up again: the jobs at work in too many workers that died."""
        aside = []
        for job_id, deaths in self._store.count_deaths(self._executor).items():
            self._store.log(job_id, f"a worker died while the job was at work ({deaths} of {MOST_DEATHS})", "warning")
            if deaths >= MOST_DEATHS and self._store.record(job_id).state in {JobState.QUEUED, JobState.RUNNING}:
                record_failure(self._store, job_id, set_aside(self._settings.log_dir))
                aside.append(job_id)
        return aside

    def _give_back(self, job_id: str) -> None:
        """Give back what a job that was set aside holds of vCenter and AWS."""
        try:
            with open_job(self._runtime, job_id, JobControl()) as job:
                give_back(job)
        except VmieError as error:
            _log.warning("%s: %s", job_id, error)

    def serve(self, lock: PidLock) -> None:
        """Tick until stopped or idle."""
        pause = poll_seconds()
        while not self._stop.is_set():
            try:
                records = self._tick()
            except VmieError as error:
                _log.warning("%s", error)
                records = []
                self._busy = time.monotonic()
            except Exception:  # noqa: BLE001 - ending would stop every job and schedule, and say nothing
                _log.exception("the jobs could not be looked at")
                records = []
                self._busy = time.monotonic()
                self._stop.wait(BUG_SECONDS)
            if self._is_idle(records) and self._leave(lock):
                return
            busy = any(record.state.live for record in records)
            self._stop.wait(pause / 2 if busy else pause)
        _log.info("stopped by a signal")
        self._release_leases()

    def _release_leases(self) -> None:
        """Give export leases back, so that vCenter is not kept waiting; the jobs go on with the next worker."""
        closing = [threading.Thread(target=holder.close, daemon=True) for holder in open_holders()]
        for thread in closing:
            thread.start()
        deadline = time.monotonic() + RELEASE_SECONDS
        for thread in closing:
            thread.join(max(deadline - time.monotonic(), 0))

    def _tick(self) -> list[JobRecord]:

        now = time.monotonic()
        if now - self._beaten > BEAT_SECONDS:
            self._store.beat(self._executor, os.getpid(), self._started)
            self._beaten = now
        if now - self._scheduled > SCHEDULE_SECONDS:
            self._scheduled = now
            self._keep_schedules()
        records = self._store.unfinished()
        self._controls.update({record.id: record.control for record in records})
        for record in records:
            if record.state is JobState.QUEUED and record.control == PAUSE:
                self._store.become(record.id, JobState.PAUSED, control="", message="paused")
            elif record.state is JobState.QUEUED and record.dispatched < record.attempt:
                self._take_up(record)
            elif record.state is JobState.CANCELLING and not self._controls.is_working(record.id):
                threading.Thread(target=self._clean_up, args=(record.id,), name="clean-up", daemon=True).start()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._crashed_jobs.look()
            self._fail_lost(records)
        return records

    def _take_up(self, record: JobRecord) -> None:
        """Hand a job to the workflow engine. One that it refuses again and again fails, with the reason."""
        try:
            phases.dispatch(record)
        except VmieError:
            raise
        except Exception as error:  # noqa: BLE001 - the other jobs go on, whatever it is
            _log.exception("job %s could not be taken up", record.id)
            self._refused[record.id] = self._refused.get(record.id, 0) + 1
            if self._refused[record.id] >= DISPATCH_TRIES:
                del self._refused[record.id]
                self._clean_up(record.id, _in_words(error, self._settings).problem)
            return
        self._refused.pop(record.id, None)
        self._store.update(record.id, dispatched=record.attempt)

    def _keep_schedules(self) -> None:
        """Start what is due; a worker for which something is scheduled is not idle."""
        try:
            self._scheduler.tick()
            if self._scheduler.wants_worker():
                self._busy = time.monotonic()
        except VmieError:
            raise
        except Exception:  # noqa: BLE001 - a bug in here must not end the jobs at work
            _log.exception("the schedules cannot be kept")

    def _fail_lost(self, records: list[JobRecord]) -> None:
        """Jobs that seem to be at work while no workflow is left for them: its end could not be written down."""
        active = {JobState.RUNNING, JobState.QUEUED}
        lost = {
            record.id
            for record in records
            if record.state in active
            and record.dispatched == record.attempt
            and not self._controls.is_working(record.id)
            and not self._is_alive(record)
        }
        now = time.monotonic()
        self._suspects = {job_id: self._suspects.get(job_id, now) for job_id in lost}
        for job_id, since in self._suspects.items():
            if now - since >= LOST_SECONDS:  # it was not just between two phases
                threading.Thread(target=self._clean_up, args=(job_id,), name="clean-up", daemon=True).start()

    def _is_alive(self, record: JobRecord) -> bool:
        """Whether a workflow is left for the job; none is where DBOS's tables are broken."""
        try:
            return phases.is_alive(record.id, record.attempt, self._executor)
        except DBAPIError as error:
            if is_damaged(error):
                return False
            raise

    def _why_lost(self, record: JobRecord) -> Problem:
        """Why no workflow is left for a job."""
        try:
            return FOREIGN if is_foreign(record.id, record.attempt) else LOST
        except (VmieError, DBAPIError) as error:  # DBOS's tables cannot be read, so nothing will go on with the job
            return _in_words(error, self._settings).problem

    def _clean_up(self, job_id: str, problem: Problem | None = None) -> None:
        """Cancel a job that no workflow of this process is working on, or let it fail, with ``problem`` if given."""
        with self._controls.working(job_id):
            try:
                with open_job(self._runtime, job_id, JobControl()) as job:
                    record: JobRecord = job.context.record
                    if record.state is JobState.CANCELLING:
                        cancel(job)
                    elif record.state in {JobState.QUEUED, JobState.RUNNING}:
                        fail(job, problem or self._why_lost(record))
            except VmieError as error:
                _log.warning("%s: %s", job_id, error)

    def _is_idle(self, records: list[JobRecord]) -> bool:
        now = time.monotonic()
        if any(record.state.live for record in records):
            self._busy = now
        return self._idle_seconds is not None and now - self._busy > self._idle_seconds

    def _leave(self, lock: PidLock) -> bool:
        """Give the lock back, then look once more: a job, or a schedule, may have come that saw it taken."""
        lock.release()
        wanted = any(record.state.live for record in self._store.unfinished()) or self._scheduler.wants_worker()
        if wanted and lock.acquire():
            self._busy = time.monotonic()
            return False
        _log.info("idle: leaving")
        return True
