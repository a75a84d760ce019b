"""The support desk's way to tasks: accounts opened read-only side by side, one task found anywhere, and cancelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmie_tui.model.errors import Problem, ServiceError
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.model.task_history import TaskRecord
from vmie_tui.services.task_history import History

if TYPE_CHECKING:
    from vmie_tui.services.aws.session import Aws
    from vmie_tui.services.aws.vmie.explorer import WatchedAccount
    from vmie_tui.settings import Profile

ALL_REGIONS = "all"


@dataclass(frozen=True, slots=True)
class Opened:
    """The accounts that could be opened, and for the others why not: (profile, problem)."""

    watched: tuple[WatchedAccount, ...]
    failed: tuple[tuple[str, Problem], ...] = ()


@contextmanager
def open_accounts(profiles: Sequence[Profile], regions: Sequence[str] = ()) -> Iterator[Opened]:
    """The accounts of these profiles, for reading alone; ``regions`` of each, ``("all",)`` for every enabled one, none
    for the profile's own. A profile that cannot sign in does not stop the others.
    """
    from vmie_tui.services.aws.session import open_session
    from vmie_tui.services.aws.vmie.explorer import WatchedAccount, enabled_regions

    opened: list[WatchedAccount] = []
    failed: list[tuple[str, Problem]] = []
    try:
        for profile in profiles:
            aws: Aws | None = None
            try:
                aws = open_session(profile.aws, read_only=True)
                every = enabled_regions(aws) if ALL_REGIONS in regions else tuple(regions) or (aws.region,)
            except ServiceError as error:
                failed.append((profile.name, error.problem))
                if aws is not None:
                    aws.close()
            else:
                opened.append(WatchedAccount(profile.name, aws, every))
        yield Opened(tuple(opened), tuple(failed))
    finally:
        for each in opened:
            each.aws.close()


def find_task(opened: Opened, history: History, task_id: str) -> TaskRecord:
    """The task by its id, asked of AWS now: first where the history saw it, then in every Region that was opened.

    When AWS no longer knows it, what the history has. Raises ServiceError NOT_FOUND, INVALID for what is no id, and
    the first other trouble when nobody knew the task and somebody could not be asked.
    """
    from vmie_tui.services.aws.vmie.task_parser import forgotten, is_unknown, task_kind

    kind, known = task_kind(task_id), history.find(task_id)
    trouble: ServiceError | None = None
    asked: set[tuple[str, str]] = set()
    places = [(record.profile, record.task.region) for record in known]
    places += [(each.profile, region) for each in opened.watched for region in each.regions]
    accounts = {each.profile: each.aws for each in opened.watched}
    for profile, region in places:
        if (profile, region) in asked or profile not in accounts:
            continue
        asked.add((profile, region))
        try:
            task = read_task(accounts[profile], region, kind, task_id)
        except ServiceError as error:
            if not is_unknown(error):
                trouble = trouble or error
            continue
        [record] = history.record(profile, [task])
        return record
    if known:
        return known[0]
    if trouble is None and opened.failed:
        trouble = ServiceError.of(opened.failed[0][1])
    raise trouble or forgotten(task_id)


def read_task(aws: Aws, region: str, kind: TaskKind, task_id: str) -> Task:
    """One task as it is now. Raises ServiceError NOT_FOUND."""
    from vmie_tui.services.aws.errors import aws_call
    from vmie_tui.services.aws.session import EXPLORE
    from vmie_tui.services.aws.vmie.task_parser import TASK_APIS, forgotten, read_pages

    with aws_call(f"read the task in {region}", task_id):
        for page in read_pages(aws.client(EXPLORE, region), kind, region, **{TASK_APIS[kind].ids: [task_id]}):
            for task in page:
                return task
    raise forgotten(task_id)


def why_not_cancel(record: TaskRecord) -> str:
    """Why the task can certainly not be cancelled; "" when AWS is to be asked, which may still say no."""
    if record.forgotten:
        return "AWS no longer knows it"
    if record.task.terminal:
        return f"it is over: {record.outcome.value}"
    if record.task.state in {"deleting", "cancelling"}:
        return "it is being cancelled already"
    return ""


def cancel_task(aws: Aws, task: Task, reason: str = "") -> None:
    """Cancel a task of any kind; ``reason`` where the call takes one. Raises ServiceError in AWS's own words."""
    if task.kind in {TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE}:
        from vmie_tui.services.aws.vmie.export_tasks import ExportTasks

        ExportTasks(aws, task.region).cancel(task.id)
    elif task.kind is TaskKind.CONVERSION:
        from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks

        ConversionTasks(aws, task.region).cancel(task.id, reason)
    else:
        from vmie_tui.services.aws.vmie.import_tasks import ImportTasks

        ImportTasks(aws, task.region).cancel(task.id, reason)
