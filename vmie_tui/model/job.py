"""What a screen or the command line shows of a job: read from the progress store, never computed by the viewer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from vmie_tui.model.errors import Problem
from vmie_tui.model.plan import ImportPlan, Route, VmSource
from vmie_tui.model.task import JobState


class Stage(StrEnum):
    """Stages of a job, in their order; a job has those of its kind and route."""

    CHECK = "check"  # role, bucket, Region, source still there
    SNAPSHOT = "snapshot"  # a running VM is frozen first
    UPLOAD = "upload"  # to S3 or EBS, one transfer per disk
    IMPORT = "import"  # AWS converts, or reads the disks
    REGISTER = "register"  # an AMI, or volumes, of the snapshots
    EXPORT = "export"  # AWS writes the disk or OVA
    DOWNLOAD = "download"
    DEPLOY = "deploy"  # back into vCenter
    LAUNCH = "launch"  # a test instance of the AMI
    FINISH = "finish"  # tags and clean-up


def import_stages(plan: ImportPlan) -> tuple[Stage, ...]:
    """The stages an import by this plan goes through."""
    made = plan.route is Route.UNMODIFIED or (plan.route is Route.SNAPSHOT and plan.volumes is not None)
    wanted = {
        Stage.SNAPSHOT: isinstance(plan.source, VmSource),
        Stage.UPLOAD: plan.moves_bytes,
        Stage.IMPORT: plan.aws_reads,
        Stage.REGISTER: made,
        Stage.LAUNCH: plan.test_launch is not None,
        Stage.CHECK: True,
        Stage.FINISH: True,
    }
    return tuple(stage for stage in Stage if wanted.get(stage))


class StageState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StageView:
    stage: Stage
    state: StageState = StageState.PENDING
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class DiskProgress:
    """One disk's transfer; sizes are bytes on the wire."""

    key: int
    label: str
    capacity: int  # bytes of the disk
    total: int = 0  # 0 while unknown; hosts often do not say (trap 6): estimated from how far the disk was read
    done: int = 0  # absolute; may go down on a retry
    skipped: int = 0  # found already uploaded by an earlier run
    rate: float = 0.0  # bytes a second
    parts_done: int = 0
    state: StageState = StageState.PENDING
    sha256: str = ""
    verified: bool | None = None  # equal to the host's own checksum (trap 7); None: the host gave none
    s3_key: str = ""
    snapshot_id: str = ""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job at one moment."""

    id: str
    kind: str
    name: str
    profile: str
    state: JobState
    created: datetime
    updated: datetime
    stages: tuple[StageView, ...] = ()
    disks: tuple[DiskProgress, ...] = ()
    message: str = ""
    fraction: float | None = None  # 0 to 1 over the whole job; None while nothing can be said
    rate: float = 0.0
    eta_seconds: float | None = None
    task_id: str = ""
    task_progress: int | None = None
    task_message: str = ""
    image_id: str = ""
    problem: Problem | None = None
    source: str = ""
    target: str = ""
    results: dict[str, str] = field(default_factory=dict)  # what was made besides the AMI: "test instance" -> its id

    @property
    def inward(self) -> bool:
        """Whether it brings a machine into AWS: an import, or a run of a replication."""
        return self.kind != "export"

    @property
    def words(self) -> str:
        """What it is and of what: ``import web-01``, ``replication run web-01``."""
        return f"{'replication run' if self.kind == 'replicate' else self.kind} {self.name}"

    @property
    def stage(self) -> Stage | None:
        """The stage at work, or the one that failed."""
        for view in self.stages:
            if view.state in {StageState.RUNNING, StageState.FAILED}:
                return view.stage
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; times as ISO 8601 in UTC."""

        def plain(value: Any) -> Any:
            if isinstance(value, datetime):
                return value.isoformat()
            if isinstance(value, StrEnum):
                return value.value
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [plain(item) for item in value]
            return value

        data: dict[str, Any] = plain(asdict(self))
        return data


@dataclass(frozen=True, slots=True)
class LogLine:
    at: datetime
    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """The one worker process of a state folder."""

    alive: bool  # the process is there, and does not stand still
    pid: int | None = None
    since: datetime | None = None
    running: int = 0
    queued: int = 0
    starting: bool = False  # some process is starting one, or it does not take up jobs yet
    silent_since: datetime | None = None  # the process is there, and has not done anything since
    problem: Problem | None = None  # why the one that this process wanted could not start
