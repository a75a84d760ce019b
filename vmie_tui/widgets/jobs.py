"""The table of jobs and the words for a job's stages, disks and problems."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from vmie_tui.model.formatting import plural
from vmie_tui.model.job import DiskProgress, JobView, LogLine, Stage, StageState
from vmie_tui.model.task import JobState
from vmie_tui.widgets.explained import brief_lines
from vmie_tui.widgets.machine_detail import heading, indented
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import (
    Cell,
    Line,
    bar,
    clean,
    clock,
    duration,
    fit,
    join,
    line_width,
    paragraph,
    percent,
    rate,
    remaining,
    size,
)

STATES: dict[JobState, tuple[str, str]] = {
    JobState.QUEUED: ("○ queued", "dim"),
    JobState.RUNNING: ("▶ running", "busy"),
    JobState.PAUSED: ("‖ paused", "warn"),
    JobState.NEEDS_LOGIN: ("▲ login", "warn"),
    JobState.CANCELLING: ("■ stopping", "warn"),
    JobState.CANCELLED: ("■ cancelled", "dim"),
    JobState.FAILED: ("✖ failed", "bad"),
    JobState.DONE: ("✔ done", "ok"),
}
STAGES: dict[StageState, tuple[str, str]] = {
    StageState.PENDING: ("○", "dim"),
    StageState.RUNNING: ("▶", "busy"),
    StageState.DONE: ("✔", "ok"),
    StageState.SKIPPED: ("–", "dim"),
    StageState.FAILED: ("✖", "bad"),
}
BAR_CELLS = 12
LABEL_CELLS = 12


class JobTable(LineTable[JobView]):
    """Jobs, newest first. Ended and waiting ones say why in place of rate and time."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("state", "State", 11),
        Column("job", "Job", 14, grows=2),
        Column("stage", "Stage", 12),
        Column("bar", "Progress", BAR_CELLS),
        Column("percent", "", 4, "right", gap=0),
        Column("rate", "Rate", 10, "right"),
        Column("left", "Left", 8, "right"),
    )

    def key_of(self, row: JobView) -> str:
        return row.id

    def cell(self, row: JobView, column: str) -> Cell:
        cells: dict[str, Cell] = {
            "state": STATES[row.state],
            "job": (clean(row.name), ""),
            "stage": (stage_words(row), ""),
            "bar": (bar(row.fraction, BAR_CELLS), "busy" if row.fraction is not None else "dim"),
            "percent": (percent(row.fraction), ""),
            "rate": (rate(row.rate), "dim" if row.rate < 1 else ""),
            "left": (remaining(row.eta_seconds), "dim"),
        }
        return cells[column]

    def merged(self, row: JobView) -> tuple[str, Cell] | None:
        if row.state is JobState.DONE:
            took = duration((row.updated - row.created).total_seconds())
            return "stage", (join([row.image_id or clean(row.message), f"in {took}"]), "ok")
        if row.state in {JobState.FAILED, JobState.NEEDS_LOGIN} and row.problem:
            return "stage", (clean(row.problem.what), "bad" if row.state is JobState.FAILED else "warn")
        if row.state in {JobState.CANCELLED, JobState.QUEUED} or (row.state.live and row.fraction is None):
            return "stage", (join([stage_words(row), clean(row.message)]), "dim")
        return None


def stage_words(job: JobView) -> str:
    """The stage at work and its place: ``upload 3/5``."""
    stage = job.stage
    if stage is None:
        return ""
    order = [view.stage for view in job.stages]
    return f"{stage.value} {order.index(stage) + 1}/{len(order)}"


def job_lines(job: JobView | None, log: list[LogLine], cells: int, *, log_lines: int = 4) -> list[Line]:
    """A job in full: stages, disks, AWS task, result or problem, the end of its log."""
    if job is None:
        return []
    lines = [heading(job.words, cells)]
    cells -= 1
    if job.problem:
        lines += problem_lines(job.problem, cells, retry="")
        if job.state is JobState.FAILED:
            lines += [((" " * 2, ""), *line) for line in brief_lines(job.problem, cells - 2)]
        if job.state is JobState.FAILED:
            safe = job.problem.retry_safe
            words = "A retry is safe: r goes on where it stopped." if safe else "Correct that first, then r retries."
            lines.append((("  ", ""), (words, "dim")))
        if job.state is JobState.FAILED and job.kind == "import" and job.stage is Stage.IMPORT:
            words = "Or b: an AMI of the bytes that are in AWS, unmodified, without a new upload."
            lines += paragraph(words, cells, "dim", (("  ", ""),))
    if job.image_id:
        lines += _result(job, cells)
    lines += stage_lines(job, cells)
    moved = any(view.stage is Stage.UPLOAD for view in job.stages)
    if job.kind == "export":
        lines += [line for disk in job.disks for line in _exported(job, disk, cells)]
    else:
        lines += [disk_progress(disk, cells) if moved else _disk_there(disk, cells) for disk in job.disks]
    if job.task_id:
        lines += _task(job, cells)
    lines += paragraph(join([job.source, job.target], " → "), cells, "dim", (("From, to  ", "dim"),))
    tail = log[-log_lines:] if log_lines else log
    lines += [line for entry in tail for line in log_line(entry, cells)]
    return indented(lines)


def _result(job: JobView, cells: int) -> list[Line]:
    snapshots = ", ".join(disk.snapshot_id for disk in job.disks if disk.snapshot_id)
    text = join([job.image_id, f"snapshots {snapshots}" if snapshots else ""])
    return paragraph(text, cells, "ok", (("✔ AMI     ", "ok"),))


def stage_lines(job: JobView, cells: int) -> list[Line]:
    """``check ✔ 0:02 upload ▶ import ○``, on as many lines as it takes."""
    lines: list[list[Cell]] = [[("Stages    ", "dim")]]
    for view in job.stages:
        glyph, style = STAGES[view.state]
        name = (f"{view.stage.value} ", "" if view.state is not StageState.PENDING else "dim")
        part = [name, (glyph, style), (stage_time(view.started, view.ended, view.state), "dim")]
        if line_width([*lines[-1], *part]) > cells + 1:
            lines.append([(" " * 10, "")])
        lines[-1] += part
    return [tuple(line) for line in lines]


def stage_time(started: datetime | None, ended: datetime | None, state: StageState) -> str:
    if started and ended and state is not StageState.SKIPPED:
        return f" {duration((ended - started).total_seconds())} "
    return " "


def disk_progress(disk: DiskProgress, cells: int) -> Line:
    """``disk 1  60.0 GiB  ████████████ 100%  sha256 equal to the host's ✔``."""
    known = disk.state is StageState.DONE or disk.total > 0
    part = 1.0 if disk.state is StageState.DONE else disk.done / disk.total if disk.total else None
    words, style = disk_words(disk)
    fixed: list[Cell] = [
        (fit(clean(disk.label), LABEL_CELLS), "title"),
        (f"{size(disk.capacity):>9}  ", ""),
        (bar(part, BAR_CELLS), "ok" if disk.state is StageState.DONE else "busy" if known else "dim"),
        (f"{percent(part):>5}  ", ""),
    ]
    room = max(1, cells - LABEL_CELLS - 11 - BAR_CELLS - 7)
    return (*fixed, (fit(words, room), style))


def _disk_there(disk: DiskProgress, cells: int) -> Line:
    """A disk of a job that moves none: its bytes are in AWS."""
    words = join(["in AWS already", disk.snapshot_id])
    room = max(1, cells - LABEL_CELLS - 11)
    return (fit(clean(disk.label), LABEL_CELLS), "title"), (f"{size(disk.capacity):>9}  ", ""), (fit(words, room), "")


def _exported(job: JobView, disk: DiskProgress, cells: int) -> list[Line]:
    """The object an export wrote, and how far it has come to this machine."""
    name = paragraph(f"{disk.label}, {size(disk.total or disk.done)}", cells, "", (("Object    ", "dim"),))
    if not any(view.stage is Stage.DOWNLOAD for view in job.stages):
        return name
    done = disk.state is StageState.DONE
    part = 1.0 if done else disk.done / disk.total if disk.total else None
    words = "equal to the object by its checksum ✔" if done else "waiting"
    if disk.state is StageState.RUNNING:
        words = join([rate(disk.rate) if disk.rate >= 1 else "", f"{size(disk.done)} of {size(disk.total)}"])
    style = "ok" if done else ""
    shown: list[Cell] = [(bar(part, BAR_CELLS), "ok" if done else "busy"), (f"{percent(part):>5}  ", "")]
    room = max(1, cells - 17 - BAR_CELLS)
    return [*name, (("Download  ", "dim"), *shown, (fit(words, room), style))]


def disk_words(disk: DiskProgress) -> tuple[str, str]:
    """What is to be said beside a disk's bar."""
    if disk.state is StageState.DONE:
        verdict = {True: "sha256 equal to the host's ✔", False: "sha256 differs from the host's ✖", None: "uploaded"}
        skipped = f"{size(disk.skipped)} were there" if disk.skipped else ""
        return join([verdict[disk.verified], skipped]), "bad" if disk.verified is False else "ok"
    if disk.state is StageState.FAILED:
        return "failed", "bad"
    if disk.state is StageState.RUNNING:
        moved = size(disk.done) + (f" of {size(disk.total)}" if disk.total else "")
        parts = f"part {disk.parts_done}" if disk.parts_done else ""
        return join([rate(disk.rate) if disk.rate >= 1 else "", moved, parts]), ""
    return ("left out", "dim") if disk.state is StageState.SKIPPED else ("waiting", "dim")


def _task(job: JobView, cells: int) -> list[Line]:
    progress = f"{job.task_progress}%" if job.task_progress is not None else ""
    return paragraph(join([job.task_id, progress, job.task_message]), cells, "", (("AWS task  ", "dim"),))


def log_line(entry: LogLine, cells: int) -> list[Line]:
    style = {"error": "bad", "warning": "warn"}.get(entry.level, "")
    return paragraph(entry.text, cells, style, ((f"{clock(entry.at)}  ", "dim"),))


def counts(jobs: tuple[JobView, ...]) -> str:
    """``2 running · 1 failed · 12 jobs``."""
    words = [
        f"{sum(job.state is state for job in jobs)} {state.value}"
        for state in JobState
        if any(job.state is state for job in jobs)
    ]
    return join([*words, plural(len(jobs), "job")]) if len(words) > 1 else join(words)
