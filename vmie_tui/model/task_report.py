"""A task in words: lines for a terminal, and a Markdown report for a ticket. Nothing in it is taken as markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from vmie_tui.model.explain import Explanation, explain
from vmie_tui.model.formatting import duration, one_line
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.model.task_history import PhaseTime, TaskRecord

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~])")


def subject_of(task: Task) -> str:
    """What the task is about: the image, instance or object it makes or reads."""
    if task.kind is TaskKind.EXPORT_INSTANCE:
        return task.instance_id or _object(task)
    if task.kind in {TaskKind.EXPORT_IMAGE, TaskKind.IMPORT_IMAGE} and task.image_id:
        return task.image_id
    made = task.instance_id or next((disk.snapshot_id for disk in task.disks if disk.snapshot_id), "")
    return made or _object(task)


def _object(task: Task) -> str:
    return next((f"s3://{disk.bucket}/{disk.key}" for disk in task.disks if disk.key), task.description)


def plain_line(record: TaskRecord) -> str:
    """A change in one line: time, task, state, how far, what AWS says."""
    task = record.task
    percent = "" if task.progress is None else f"{task.progress}%"
    at = record.changes[-1].at if record.changes else record.last_seen
    parts = (
        f"{at.astimezone():%Y-%m-%d %H:%M:%S}",
        task.id,
        task.region,
        record.profile,
        record.outcome.value,
        percent,
    )
    return "  ".join(part for part in (*parts, one_line(task.reason or subject_of(task))) if part)


def explanation_of(record: TaskRecord) -> Explanation | None:
    """What the task's message means; None when there is nothing to explain."""
    return explain(record.task.reason, task=record.task) if record.task.failed else None


def facts_of(record: TaskRecord) -> list[tuple[str, str]]:
    """(name, value) of everything there is to say in a line each; values are not yet safe for markup."""
    task = record.task
    rows = [
        ("task", task.id),
        ("kind", task.kind.value),
        ("state", f"{task.state} ({record.outcome.value})" if record.outcome.value != task.state else task.state),
        ("progress", "" if task.progress is None else f"{task.progress}%"),
        ("message", task.reason),
        ("account", record.profile),
        ("Region", task.region),
        ("description", task.description),
        ("image", task.image_id),
        ("instance", task.instance_id),
        ("volumes", ", ".join(task.volume_ids)),
        ("first seen", _stamp(record.first_seen)),
        ("last seen", _stamp(record.last_seen)),
        ("forgotten", "AWS no longer lists it" if record.forgotten else ""),
        ("tags", ", ".join(f"{key}={value}" for key, value in sorted(task.tags.items()))),
    ]
    for number, disk in enumerate(task.disks, 1):
        where = f"s3://{disk.bucket}/{disk.key}" if disk.bucket else ""
        parts = (disk.format, where, disk.snapshot_id, disk.status, disk.status_message)
        rows.append((f"disk {number}", "  ".join(part for part in parts if part)))
    return [(name, one_line(value)) for name, value in rows if value]


def phase_words(phase: PhaseTime) -> str:
    """``booting: 12 min so far, usually 4 min: slow``."""
    words = f"{one_line(phase.phase)}: {duration(phase.seconds)}{'' if phase.over else ' so far'}"
    if phase.usual is not None:
        words += f", usually {duration(phase.usual)} (of {phase.samples})"
    return f"{words}: slow" if phase.slow else words


def markdown(
    record: TaskRecord, phases: Sequence[PhaseTime], now: datetime, *, versions: Sequence[tuple[str, str]] = ()
) -> str:
    """The report: what it is, its timeline, phases against their usual times, explanation and remedy."""
    lines = [f"# {record.task.kind.value.capitalize()} {_safe(record.task.id)}", ""]
    lines += [f"- **{name}**: {_safe(value)}" for name, value in facts_of(record) if name != "task"]
    lines += ["", "## Timeline", "", "| when (UTC) | state | phase | progress |", "|---|---|---|---|"]
    for change in record.changes:
        percent = "" if change.progress is None else f"{change.progress}%"
        lines.append(f"| {_stamp(change.at)} | {_safe(change.state)} | {_safe(change.phase)} | {percent} |")
    if phases:
        lines += ["", "## Phases", "", *[f"- {_safe(phase_words(phase))}" for phase in phases]]
    found = explanation_of(record)
    if found is not None:
        lines += ["", "## Explanation", ""]
        for match in found.matches:
            lines += [f"- **{_safe(match.cause)}** ({match.id}, {match.confidence:.0%} sure)"]
            lines += [f"  Remedy: {_safe(match.remedy)}"]
        if not found.matches:
            lines.append("This message is not known.")
    lines += ["", f"Made {_stamp(now)}" + "".join(f", {name} {version}" for name, version in versions)]
    return "\n".join(lines) + "\n"


def _safe(text: str) -> str:
    return _MARKUP.sub(r"\\\1", one_line(text))


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
