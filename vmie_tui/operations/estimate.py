"""What an import will move, take and cost, as far as it is known: documented figures, and what earlier jobs measured.

Nothing is guessed: without a measurement a figure is unknown, and the words say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vmie_tui.model import facts
from vmie_tui.model.formatting import plural, rate, remaining, size
from vmie_tui.model.job import JobView, Stage, StageState, StageView
from vmie_tui.model.plan import Route
from vmie_tui.model.task import JobState
from vmie_tui.operations.import_plan import Draft

TASKS = {
    Route.IMAGE: "import-ami-",
    Route.IMAGE_DIRECT: "import-ami-",
    Route.UNMODIFIED: "import-snap-",
    Route.SNAPSHOT: "import-snap-",
    Route.INSTANCE: "import-i-",
}
SEVERAL = TASKS[Route.SNAPSHOT]  # a job with a task for each disk, as only ImportSnapshot has them, names none
LEAST_SECONDS = 1.0  # a shorter transfer measures nothing


@dataclass(frozen=True, slots=True)
class Measured:
    """Earlier jobs of this state folder, added up. Bytes on the wire, bytes of disks, seconds."""

    jobs: int = 0
    moved: int = 0
    capacity: int = 0
    seconds: float = 0.0
    conversions: int = 0
    conversion_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Bytes a second over the line; 0 when nothing was measured."""
        return self.moved / self.seconds if self.seconds else 0.0

    @property
    def share(self) -> float | None:
        """How much of the disks' size went over the line."""
        return self.moved / self.capacity if self.capacity else None


def measured(jobs: Iterable[JobView], task: str = "") -> Measured:
    """What the finished imports among ``jobs`` took; resumed transfers, which left bytes out, are not counted.

    ``task``: how the ids of AWS's tasks must begin whose time counts: a conversion takes longer than a plain read.
    """
    total = Measured()
    for job in jobs:
        if job.state is not JobState.DONE or job.kind != "import":
            continue
        upload, conversion = _seconds(job, Stage.UPLOAD), _seconds(job, Stage.IMPORT)
        fresh = job.disks and not any(disk.skipped for disk in job.disks)
        if upload >= LEAST_SECONDS and fresh:
            total = Measured(
                total.jobs + 1,
                total.moved + sum(disk.done for disk in job.disks),
                total.capacity + sum(disk.capacity for disk in job.disks),
                total.seconds + upload,
                total.conversions,
                total.conversion_seconds,
            )
        if conversion and (job.task_id or SEVERAL).startswith(task):
            total = Measured(
                total.jobs,
                total.moved,
                total.capacity,
                total.seconds,
                total.conversions + 1,
                total.conversion_seconds + conversion,
            )
    return total


def _seconds(job: JobView, stage: Stage) -> float:
    view = next((view for view in job.stages if view.stage is stage), StageView(stage))
    if view.state is not StageState.DONE or view.started is None or view.ended is None:
        return 0.0
    return (view.ended - view.started).total_seconds()


def estimate(draft: Draft, jobs: Iterable[JobView]) -> list[tuple[str, str]]:
    """(label, words) of bytes, time and cost."""
    plan = draft.plans()[0]
    known = measured(jobs, TASKS[plan.route])
    moves = plan.moves_bytes
    return [
        ("Bytes to move", _bytes(draft, known) if moves else "None through this machine: they are in AWS already."),
        ("Time", _time(draft, known, moves=moves, converts=plan.aws_reads)),
        ("Cost", _cost(draft)),
    ]


def _bytes(draft: Draft, known: Measured) -> str:
    packed = draft.via.value == "s3" and draft.upload_format.value in {"VMDK", "OVA"} and "format" in draft.asked
    less = "empty blocks are left out and the rest is compressed" if packed else "blocks that hold no data are left out"
    if "format" in draft.asked and not packed:
        return f"{size(draft.size)}: this format has all blocks, empty ones too."
    words = f"At most {size(draft.size)}: {less}."
    if known.share is not None:
        part = draft.size * min(1.0, known.share)
        words += (
            f" About {size(part)} if it is like {plural(known.jobs, 'earlier job')} ({known.share:.0%} of the disks)."
        )
    return words


def _time(draft: Draft, known: Measured, *, moves: bool, converts: bool) -> str:
    parts: list[str] = []
    if moves and known.rate:
        most = draft.size / known.rate
        parts.append(
            f"Upload {remaining(most)} at most, at {rate(known.rate)}, measured over {plural(known.jobs, 'job')}."
        )
    elif moves:
        parts.append("Upload unknown: no finished job here has measured the line yet.")
    if converts and known.conversions:
        mean = known.conversion_seconds / known.conversions
        parts.append(f"AWS took {remaining(mean)} for such a task, the mean of {plural(known.conversions, 'job')}.")
    elif converts:
        parts.append("AWS's task unknown: its guides give no figure, and no finished job here has measured one.")
    return " ".join(parts) or "Seconds: nothing is moved and nothing is converted."


def _cost(draft: Draft) -> str:
    """The documented items (F015); prices are not in the guides."""
    pricing, asked = facts.load("limits")["pricing"], draft.asked
    storage, volumes, running = pricing["charged"][:3]
    items = [storage] if "bucket" in asked else []
    items.append("EBS snapshots that stay" if draft.route is not Route.INSTANCE else volumes)
    if draft.test_launch and "test_launch" in asked:
        items.append(running)
    words = f"VM Import/Export: {pricing['service']}. Charged: {'; '.join(items)}."
    if draft.copy_to and "copy_to" in asked:
        words += " Copies add transfer between Regions, and snapshots there."
    return f"{words} In figures unknown: AWS's guides give no prices."
