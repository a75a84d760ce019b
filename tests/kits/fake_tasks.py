"""Tasks of AWS that answer at once; everything asked of the desk is in ``asked``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.task import USER_CANCELLED, Task, TaskDisk, TaskKind
from vmie_tui.model.task_history import Change, TaskRecord, phases
from vmie_tui.model.task_report import explanation_of
from vmie_tui.operations.tasks import Exploring, Scope, Study, why_not_cancel
from vmie_tui.services.aws.vmie.explorer import OnPage, Page, RegionTrouble

NOW = datetime(2026, 3, 4, 10, 41, 7, tzinfo=UTC)
KINDS = tuple(TaskKind)
PREFIX = {
    TaskKind.IMPORT_IMAGE: "import-ami-",
    TaskKind.IMPORT_SNAPSHOT: "import-snap-",
    TaskKind.EXPORT_IMAGE: "export-ami-",
    TaskKind.EXPORT_INSTANCE: "export-i-",
    TaskKind.CONVERSION: "import-i-",
}
WRONG_FORMAT = "ClientError: Disk validation failed [Unsupported VMDK File Format]"


def record(number: int, state: str = "completed", message: str = "", **fields: object) -> TaskRecord:
    """Task ``number``, first seen as many hours ago; its kind follows from the number."""
    kind = fields.pop("kind", KINDS[number % len(KINDS)])
    assert isinstance(kind, TaskKind)
    profile, region = str(fields.pop("profile", "prod")), str(fields.pop("region", "eu-west-1"))
    ident = f"{PREFIX[kind]}{number:017x}"
    disk = TaskDisk("OVA", "migration-eu-west-1", f"vms/web-{number:02}.ova")
    raw = {"Id": ident, "Status": state, "StatusMessage": message, "Text": "x" * 100}
    task = Task(kind, ident, state, message, region=region, disks=(disk,), raw=raw)
    task = replace(task, **fields)  # type: ignore[arg-type]
    first = NOW - timedelta(hours=number)
    changes = [Change(first, first, "active", "pending", 2)]
    if message and not task.terminal:
        changes.append(Change(first + timedelta(minutes=2), NOW, state, message, task.progress))
    elif task.terminal:
        changes.append(Change(first + timedelta(minutes=2), first, "active", "validating", 12))
        changes.append(Change(first + timedelta(minutes=7), NOW, state, message or state))
    return TaskRecord(profile, task, first, NOW, tuple(changes))


def some_records() -> tuple[TaskRecord, ...]:
    """One task of each kind and each end."""
    return (
        record(5, "active", "validating", progress=12),
        record(2, "active", progress=85, tags={"Name": "web-02", "team": "ops"}),
        record(10, "deleted", WRONG_FORMAT),
        record(6, "deleted", USER_CANCELLED),
        record(3, image_id="ami-0ab12cd34ef567890", tags={"team": "db"}),
        record(9, instance_id="i-0aa11bb22cc33dd44"),
        replace(record(200), forgotten=True),
    )


class FakeExplorer:
    """Gives its records at the first load; `refresh` gives what ``next`` holds. ``gate`` holds the load back."""

    def __init__(self, desk: FakeDesk, places: Scope) -> None:
        self._desk, self._stopped = desk, threading.Event()
        regions = places.regions or ("eu-west-1",)
        every = desk.regions if "all" in regions else regions
        self.places = tuple((profile, region) for region in every for profile in places.profiles)
        self.requests, self.loads = 0, 0
        self._known: dict[tuple[str, str, str], TaskRecord] = {}

    def records(self) -> tuple[TaskRecord, ...]:
        return tuple(self._known.values())

    def troubles(self) -> tuple[RegionTrouble, ...]:
        places = set(self.places)
        return tuple(trouble for trouble in self._desk.troubles if (trouble.profile, trouble.region) in places)

    def remembered(self) -> tuple[TaskRecord, ...]:
        return self._give(self._desk.remembered)

    def load(self, on_page: OnPage) -> None:
        if self._desk.gate is not None:
            self._desk.gate.wait(20)
        self._page(self._desk.records, on_page)

    def refresh(self, on_page: OnPage) -> None:
        self._desk.refreshes += 1
        if self._desk.next:
            self._page(self._desk.next.pop(0), on_page)

    def due(self) -> float:
        return 0.0 if self._desk.next else 3600.0

    def stop(self) -> None:
        self._stopped.set()

    def _page(self, records: tuple[TaskRecord, ...], on_page: OnPage) -> None:
        self.requests += 5
        self._give(records)
        on_page(Page("prod", "eu-west-1", TaskKind.IMPORT_IMAGE, records))

    def _give(self, records: tuple[TaskRecord, ...]) -> tuple[TaskRecord, ...]:
        places = set(self.places)
        kept = tuple(one for one in records if (one.profile, one.task.region) in places)
        self._known.update({one.key: one for one in kept})
        return kept


class FakeDesk:
    def __init__(self, records: tuple[TaskRecord, ...] | None = None) -> None:
        self.records = some_records() if records is None else records
        self.remembered: tuple[TaskRecord, ...] = ()
        self.next: list[tuple[TaskRecord, ...]] = []
        self.regions: tuple[str, ...] = ("eu-central-1", "eu-west-1", "us-east-1")
        self.troubles: tuple[RegionTrouble, ...] = ()
        self.failed: tuple[tuple[str, Problem], ...] = ()
        self.error: ServiceError | None = None  # of opening the accounts
        self.regions_error: ServiceError | None = None
        self.cancel_error: ServiceError | None = None
        self.read_only = False
        self.gate: threading.Event | None = None
        self.refreshes = 0
        self.asked: list[tuple[object, ...]] = []
        self.readings: list[TaskRecord | ServiceError] = []  # what looking at one task gives, in turn

    def profiles(self) -> tuple[str, ...]:
        return ("prod", "desk")

    def enabled_regions(self) -> tuple[str, ...]:
        if self.regions_error is not None:
            raise self.regions_error
        return self.regions

    @contextmanager
    def exploring(self, places: Scope) -> Iterator[Exploring]:
        self.asked.append(("explore", places))
        if self.error is not None:
            raise self.error
        yield Exploring(FakeExplorer(self, places), self.failed)

    def study(self, one: TaskRecord, now: datetime) -> Study:
        found = phases(one, now, lambda kind, phase: (240.0, 5) if phase == "validating" else (None, 0))
        return Study(one.key, found, explanation_of(one))

    def look(self, one: TaskRecord) -> TaskRecord:
        if not self.readings:
            return one
        reading = self.readings.pop(0)
        if isinstance(reading, ServiceError):
            raise reading
        return reading

    def why_not_cancel(self, one: TaskRecord) -> str:
        return "the profile prod is read-only" if self.read_only else why_not_cancel(one)

    def cancel(self, one: TaskRecord) -> None:
        self.asked.append(("cancel", one.task.id))
        if self.cancel_error is not None:
            raise self.cancel_error
        self.readings = [replace(one, task=replace(one.task, state="deleting"), last_seen=NOW + timedelta(seconds=1))]

    def bundle(self, one: TaskRecord, now: datetime) -> str:
        self.asked.append(("bundle", one.task.id))
        return f"~/copied/vmie-{one.task.id}.zip"


def denied(region: str, kind: ErrorKind = ErrorKind.PERMISSION) -> RegionTrouble:
    """A Region that could not be read, asked again in a minute."""
    problem = Problem(kind, "AWS refuses: read the tasks", region, "Ask for the permission", detail="not authorized")
    return RegionTrouble("prod", region, KINDS, problem, NOW, 60.0)
