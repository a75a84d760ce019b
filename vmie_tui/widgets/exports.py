"""The tables of what can leave EC2 and of what leaves it, and one of either in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vmie_tui.model.exportable import Exportable, ExportDisk
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import one_line, plural
from vmie_tui.model.job import JobView
from vmie_tui.model.task import Task
from vmie_tui.widgets.jobs import STATES
from vmie_tui.widgets.machine_detail import finding_lines, heading, indented
from vmie_tui.widgets.table import Column, LineTable
from vmie_tui.widgets.text import Cell, Line, clean, fit, has_words, join, paragraph, percent

LABEL_CELLS = 10


@dataclass(frozen=True, slots=True)
class SourceRow:
    """An instance or image, judged."""

    thing: Exportable
    findings: tuple[Finding, ...] = ()

    @property
    def blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.BLOCKER)

    @property
    def words(self) -> str:
        """What a filter looks in."""
        thing = self.thing
        tags = (f"{key}={value}" for key, value in thing.tags)
        return "\n".join([thing.id, thing.name, thing.state, thing.platform_details, verdict(self)[0], *tags]).lower()


@dataclass(frozen=True, slots=True)
class ExportRow:
    """An export: of a job of ours, as AWS lists it, or both."""

    task: Task | None = None
    job: JobView | None = None

    @property
    def key(self) -> str:
        return self.task.id if self.task else self.job.id if self.job else ""

    @property
    def where(self) -> str:
        """The object it writes, as far as that is known."""
        disk = self.task.disks[0] if self.task and self.task.disks else None
        if disk and disk.key:
            return f"s3://{disk.bucket}/{disk.key}"
        return self.job.target if self.job else ""

    @property
    def subject(self) -> str:
        task = self.task
        of_task = (task.instance_id or task.image_id or task.description) if task else ""
        return (self.job.name if self.job else "") or of_task

    @property
    def words(self) -> str:
        parts = [self.key, self.subject, self.where, export_state(self)[0]]
        if self.task:
            parts += [self.task.state, self.task.reason, self.task.instance_id, self.task.image_id]
        return "\n".join(parts).lower()


def verdict(row: SourceRow) -> Cell:
    """``✔ can be exported``, or the first reason why not."""
    blockers = row.blockers
    if blockers:
        more = f" (+{len(blockers) - 1})" if len(blockers) > 1 else ""
        return f"✖ {one_line(blockers[0].what)}{more}", "bad"
    warnings = [finding for finding in row.findings if finding.severity is Severity.WARNING]
    return (f"▲ {one_line(warnings[0].what)}", "warn") if warnings else ("✔ can be exported", "ok")


class SourceTable(LineTable[SourceRow]):
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("kind", "Kind", 8),
        Column("name", "Name", 16, grows=1),
        Column("id", "Id", 21, from_width=100),
        Column("state", "State", 9),
        Column("size", "Size", 8, "right"),
        Column("verdict", "Export", 28, grows=2),
    )

    def key_of(self, row: SourceRow) -> str:
        return row.thing.id

    def cell(self, row: SourceRow, column: str) -> Cell:
        thing = row.thing
        cells: dict[str, Cell] = {
            "kind": ("instance" if thing.is_instance else "AMI", ""),
            "name": (clean(thing.name) or thing.id, ""),
            "id": (thing.id, "dim"),
            "state": (clean(thing.state), "dim"),
            "size": (f"{thing.size_gib:,} GiB" if thing.size_gib else "", ""),
            "verdict": verdict(row),
        }
        return cells[column]


class ExportTable(LineTable[ExportRow]):
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("state", "State", 12),
        Column("what", "What", 20, grows=1),
        Column("task", "Task", 16, grows=1),
        Column("where", "Object, or what AWS says", 26, grows=2),
    )

    def key_of(self, row: ExportRow) -> str:
        return row.key

    def cell(self, row: ExportRow, column: str) -> Cell:
        said = row.task.reason if row.task and not row.task.completed else ""
        if row.job and row.job.problem:
            said = row.job.problem.what
        elif row.job and not said:
            said = row.job.message
        done = row.task is not None and row.task.completed
        cells: dict[str, Cell] = {
            "state": export_state(row),
            "what": (clean(row.subject), ""),
            "task": (row.task.id if row.task else "", "dim"),
            "where": (clean(row.where), "") if done else (one_line(said) or clean(row.where), "dim"),
        }
        return cells[column]


def export_state(row: ExportRow) -> Cell:
    task, job = row.task, row.job
    if job is not None and not job.state.terminal:
        words, style = STATES[job.state]
        return join([words, percent(job.fraction)], " "), style
    if task is None:
        return STATES[job.state] if job is not None else ("", "")
    if task.completed:
        return "✔ completed", "ok"
    if task.terminal:
        return ("✖ failed", "bad") if task.failed else ("■ cancelled", "dim")
    return f"▶ {task.state}" + (f" {task.progress}%" if task.progress is not None else ""), "busy"


def source_lines(row: SourceRow | None, cells: int, *, whole: bool = False) -> list[Line]:
    """What stands in the way of an export, and what is known of the instance or image."""
    if row is None:
        return []
    thing = row.thing
    lines = [heading(join([thing.name, thing.id], "  "), cells)]
    cells -= 1
    if not row.findings:
        lines += paragraph("Nothing found that stands in the way of an export.", cells, "", (("✔ ", "ok"),))
    for finding in row.findings:
        lines += finding_lines(finding, cells)
    if not whole:
        lines.append((("enter looks at it in full; x: Export…", "dim"),))
    lines += [()] if whole else []
    system = join([thing.platform_details, thing.architecture, thing.boot_mode])
    hardware = f"{plural(thing.cpus, 'CPU')}, {thing.memory_mib:,} MiB" if thing.cpus else ""
    rows = [
        ("System", system),
        ("Type", join([thing.instance_type, hardware])),
        ("Made of", thing.image_id),
        ("Account", join([thing.owner, "" if thing.owner == thing.account else f"seen by {thing.account}"])),
        ("Running", ", ".join(thing.running)),
        ("Tags", ", ".join(f"{key}={value}" for key, value in thing.tags)),
    ]
    for disk in thing.disks:
        lines += _labelled(disk.device, _disk_words(disk), cells)
    for label, text in rows:
        lines += _labelled(label, text, cells)
    return indented(lines)


def _disk_words(disk: ExportDisk) -> str:
    return join(
        [
            f"{disk.size_gib:,} GiB" if disk.size_gib else "",
            disk.volume_id or disk.snapshot_id,
            "instance store" if disk.instance_store else "",
            "encrypted" if disk.encrypted else "",
            "attached after the launch" if disk.late else "",
            "its snapshot is gone" if disk.snapshot_exists is False else "",
        ]
    )


def export_lines(row: ExportRow | None, cells: int, fetched: str = "") -> list[Line]:
    """One export: what AWS says, where it writes, which job of ours waits for it; ``fetched``: its download."""
    if row is None:
        return []
    task, job = row.task, row.job
    lines = [heading(join([row.subject, row.key], "  "), cells)]
    cells -= 1
    words, style = export_state(row)
    state = f" ({task.state})" if task and task.state not in words else ""
    lines += _labelled("State", words + state, cells, style)
    if task is not None:
        lines += _labelled("AWS says", one_line(task.reason), cells, "bad" if task.failed else "")
        lines += _labelled("Of", task.instance_id or task.image_id, cells)
    lines += _labelled("Object", row.where, cells)
    if job is not None:
        lines += _labelled("Job", f"{job.id}: {join([job.state.value, one_line(job.message)])}; 2 shows it", cells)
    if fetched:
        lines += _labelled("Here", f"✔ {fetched}", cells, "ok")
    elif task is not None and task.completed:
        lines += paragraph("v: verify it against S3's checksum and bring it to this machine.", cells, "dim")
    return indented(lines)


def _labelled(label: str, text: str, cells: int, style: str = "") -> list[Line]:
    return paragraph(text, cells, style, ((fit(label, LABEL_CELLS - 1) + " ", "dim"),)) if text else []


def select(rows: Sequence[SourceRow], words: str) -> tuple[SourceRow, ...]:
    """Those that have every word and none after ``!``."""
    return tuple(row for row in rows if has_words(row.words, words))


def select_exports(rows: Sequence[ExportRow], words: str) -> tuple[ExportRow, ...]:
    return tuple(row for row in rows if has_words(row.words, words))
