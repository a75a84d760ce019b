"""What the steps of any job work with: its plan, the store, and connections that are made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from vmie_tui import passwords
from vmie_tui import settings as settings_module
from vmie_tui.jobs.engine.control import Controls, JobControl
from vmie_tui.jobs.engine.crashed_jobs import CrashedJobs
from vmie_tui.jobs.engine.retry import again
from vmie_tui.jobs.store.kinds import JobPlan
from vmie_tui.jobs.store.ledger import DiskLedger, JobLedger
from vmie_tui.jobs.store.records import DiskRecord, JobRecord
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import DiskProgress, Stage, StageState
from vmie_tui.model.task import JobState
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.pacing import TRIES
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.settings import AwsSettings, Profile, Settings

P = ParamSpec("P")
T = TypeVar("T")


class AwsSessions:
    """One AWS session per account for all jobs of the process: each loads some 20 MB of service models."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[tuple[AwsSettings, bool], Aws] = {}

    def of(self, settings: AwsSettings, *, read_only: bool) -> Aws:
        """The session for these settings. Raises ServiceError LOGIN."""
        with self._lock:
            if (settings, read_only) not in self._sessions:
                self._sessions[settings, read_only] = open_session(settings, read_only=read_only)
            return self._sessions[settings, read_only]

    def forget(self, settings: AwsSettings) -> None:
        """After a login: read the credentials again at the next use."""
        with self._lock:
            for read_only in (False, True):
                self._sessions.pop((settings, read_only), None)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What all jobs of this worker share."""

    settings: Settings
    store: Store
    controls: Controls
    sessions: AwsSessions
    stopping: threading.Event  # the process is about to end; what it does now must not be taken for a job's end
    crashed_jobs: CrashedJobs | None = None  # of a worker: who of the jobs at work may have killed the one before


VERSION_STAYS = (
    "the bucket keeps versions, and this profile may not delete them (s3:DeleteObjectVersion): what was deleted stays "
    "as an older version, and is billed, until a lifecycle rule or somebody removes it"
)


class Remember(Generic[P]):
    """A method that writes fields of the job's ledger, with the parameters of the ledger's class: `Store.remember`."""

    def __init__(self, ledger: Callable[P, JobLedger]) -> None:
        self._ledger = ledger

    def __get__(self, context: JobContext, owner: type[JobContext]) -> Callable[P, None]:
        def remember(*args: P.args, **fields: P.kwargs) -> None:
            context.store.remember(context.job_id, self._ledger, *args, **fields)

        return remember


class RememberDisk(Generic[P]):
    """The same for the ledger of one of the job's disks, which is named by its key: `Store.remember_disk`."""

    def __init__(self, ledger: Callable[P, DiskLedger]) -> None:
        self._ledger = ledger

    def __get__(self, context: JobContext, owner: type[JobContext]) -> Callable[Concatenate[int, P], None]:
        def remember(key: int, /, *args: P.args, **fields: P.kwargs) -> None:
            context.store.remember_disk(context.job_id, key, self._ledger, *args, **fields)

        return remember


class JobContext:
    """One job in one phase; each kind has its own class. A context manager: leaving it logs out of vCenter."""

    plan: JobPlan
    remember_disk = RememberDisk(DiskLedger)

    def __init__(self, runtime: Runtime, job_id: str, control: JobControl) -> None:
        self.job_id, self.control = job_id, control
        self.store = runtime.store
        self.settings, self.stopping, self._sessions = runtime.settings, runtime.stopping, runtime.sessions
        self._lock = threading.RLock()
        self._profile: Profile | None = None
        self._vsphere: VSphere | None = None
        self.plan = self.store.record(job_id).plan

    @property
    def record(self) -> JobRecord:
        """The job as it is now."""
        return self.store.record(self.job_id)

    # ---- the job's row, stages and disks

    def update(self, **values: Any) -> None:
        """Set columns of the job's row other than its state."""
        self.store.update(self.job_id, **values)

    def become(self, state: JobState, **values: Any) -> bool:
        """Enter a state, with columns of the row; False where the transition table does not allow it."""
        return self.store.become(self.job_id, state, **values)

    def add_result(self, label: str, value: str) -> None:
        """Record something the job made, for the screens: "test instance", "AMI in us-east-1", ..."""
        self.store.result(self.job_id, label, value)

    def start_stage(self, stage: Stage) -> None:
        self.store.stage(self.job_id, stage, StageState.RUNNING)

    def finish_stage(self, stage: Stage) -> None:
        self.store.stage(self.job_id, stage, StageState.DONE)

    def skip_stage(self, stage: Stage) -> None:
        self.store.stage(self.job_id, stage, StageState.SKIPPED)

    def close_stages(self, state: StageState) -> None:
        """The attempt is over: put the stages and disks that were running into ``state``."""
        self.store.close_stages(self.job_id, state)

    def disks(self) -> list[DiskRecord]:
        """All disks as they are now, in their order."""
        return self.store.disks(self.job_id)

    def disk(self, key: int) -> DiskRecord:
        """One disk as it is now."""
        return self.store.disk_now(self.job_id, key)

    def set_disks(self, disks: Sequence[DiskProgress]) -> None:
        """Record the disks to upload; known ones keep their values, except for the size."""
        self.store.set_disks(self.job_id, disks)

    def update_disk(self, key: int, **values: Any) -> None:
        """Set columns of one disk."""
        self.store.disk(self.job_id, key, **values)

    # ---- the job's log

    def say(self, text: str, *, message: bool = True, level: str = "info") -> None:
        """Write a line to the job's log and, unless ``message`` is off, show it as the job's message."""
        self.store.log(self.job_id, text, level)
        if message:
            self.store.update(self.job_id, message=text)

    def say_version_stays(self, what: str) -> None:
        """Warn that `ObjectStore.delete` left an older version of an object behind."""
        self.say(f"{what}: {VERSION_STAYS}", message=False, level="warning")

    # ---- settings and connections

    @property
    def profile(self) -> Profile:
        """The job's profile, read again in each phase: it may have been added or corrected since."""
        if self._profile is None:
            base = self.settings
            fresh = settings_module.load(self.plan.profile, state_dir=base.state_dir, config_file=base.config_file)
            self._profile = fresh.profile(self.plan.profile)
        return self._profile

    @property
    def vsphere(self) -> VSphere:
        with self._lock:
            if self._vsphere is None:
                if self.profile.vcenter is None:
                    raise ServiceError(ErrorKind.INVALID, "the profile names no vCenter", subject=self.profile.name)
                password = passwords.password_for(self.profile)
                if password is None:
                    raise ServiceError(
                        ErrorKind.LOGIN,
                        "there is no password for this vCenter",
                        subject=f"{self.profile.vcenter.user}@{self.profile.vcenter.host}",
                        remedy="Store it with the keyring or name a password_file, then resume the job",
                    )
                self._vsphere = connect(self.profile.vcenter, password, read_only=self.profile.read_only)
            return self._vsphere

    def retry(self, work: Callable[[], T]) -> T:
        """Do ``work``, and repeat it while it fails with an error that is safe to retry. Raises Cancelled or Paused."""
        return again(work, self.control)

    def ask_vcenter(self, work: Callable[[], T], *, control: JobControl | None = None, tries: int = TRIES) -> T:
        """As `retry`, with a new vCenter session before each retry: the old one may have expired.

        ``control``: obeyed instead of the job's own, which the user may have cancelled.
        """
        return again(work, control or self.control, tries=tries, before=lambda _: self.reconnect())

    def reconnect(self) -> None:
        """Close the vCenter session, which may have expired; the next use logs in again."""
        with self._lock:
            old, self._vsphere = self._vsphere, None
        if old is not None:
            old.close()

    @property
    def aws(self) -> Aws:
        return self._sessions.of(self.profile.aws, read_only=self.profile.read_only)

    def forget_login(self) -> None:
        """The credentials were refused: the next attempt reads them again."""
        self.reconnect()
        if self._profile is not None:
            self._sessions.forget(self._profile.aws)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.reconnect()
