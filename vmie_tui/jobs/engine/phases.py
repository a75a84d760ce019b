"""The durable side of every kind of job: DBOS queues, phases and steps.

A job runs in phases. Each is a DBOS workflow in the queue whose limit it obeys, and ends by queueing the next one.
Steps return plain JSON, also for errors; after a kill the next worker finds the finished steps recorded and goes on.
A workflow carries the number of its attempt: when the user has resumed, paused or cancelled the job since, it leaves.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from vmie_tui.jobs.engine.context import JobContext, Runtime
from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.engine.outcome import END, Outcome, end_attempt, outcome_of
from vmie_tui.jobs.engine.polling import POLL_VARIABLE
from vmie_tui.jobs.engine.ports import Cleanup, RunningJob
from vmie_tui.jobs.store.database import workflow_engine
from vmie_tui.jobs.store.records import JobRecord
from vmie_tui.model import facts
from vmie_tui.model.task import JobState
from vmie_tui.services.lazy_libraries import LateModule

if TYPE_CHECKING:
    import dbos
    from dbos import _serialization as dbos_rows
else:  # the one seam to DBOS: only a worker loads it
    dbos, dbos_rows = LateModule("dbos"), LateModule("dbos._serialization")

CHECK, TRANSFER, CONVERT, COMPLETE = "vmie-check", "vmie-transfer", "vmie-convert", "vmie-complete"
CHECKS_AT_ONCE = 4
TRANSFERS_PER_HOST = 3  # an ESXi host's NFC budget is about 48 MB and 48 streams (trap 10)
TRANSFERS_AT_ONCE = 8
POLL_SECONDS = 0.5  # between two looks at a queue, unless the variable says otherwise
FLOW_VERSION = "2"  # of the workflows' shape: a worker takes up only workflows of its own version

T = TypeVar("T")


class ForeignRow(ValueError):
    """A row of DBOS's tables claims a format that this program never writes."""


def _refuse(_serializer: object, _text: str) -> Any:
    raise ForeignRow("a row that claims to be a pickle is not read: it could run any command")


def refuse_pickles() -> None:
    """DBOS reads a row as what the row itself says it is, whatever serialiser is configured, and pickles are code.

    Nothing else has to be refused here: rows of other kinds it refuses by itself.
    """
    dbos_rows.DefaultSerializer.deserialize = _refuse  # type: ignore[method-assign,assignment]


Phase = Callable[[str, int], None]  # of a job's id and its attempt


@dataclass(frozen=True, slots=True)
class Flow:
    """What the worker does for one kind of job."""

    context: Callable[[Runtime, str, JobControl], JobContext]  # what its steps work with
    hooks: Callable[[Any], Cleanup]  # made of the context: what the kind does in its own way
    dispatch: Callable[[JobRecord], None]  # how an attempt begins
    phases: Mapping[str, Phase]  # its workflows, by the names that DBOS records


_flows: dict[str, Flow] = {}
_workflows: dict[Phase, Phase] = {}  # as DBOS knows them
_runtime: list[Runtime] = []


def launch(runtime: Runtime, flows: Mapping[str, Flow], executor: str) -> None:
    """Start DBOS with the flows of all kinds; it goes on with the workflows that a killed worker left."""
    _runtime[:] = [runtime]
    _flows.update(flows)
    refuse_pickles()
    for flow in flows.values():
        for name, work in flow.phases.items():
            if work not in _workflows:
                _workflows[work] = dbos.DBOS.workflow(name=name, max_recovery_attempts=None)(work)
    url = runtime.store.url
    dbos.DBOS(
        config={
            "name": "vmie-tui",
            "system_database_url": url,
            "system_database_engine": workflow_engine(url),
            "executor_id": executor,
            "application_version": FLOW_VERSION,
            "serializer": dbos.DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": 5.0,
        }
    )
    dbos.DBOS.launch()
    _register_queues()


def poll_seconds() -> float:
    """Seconds between two looks at a queue: enough for a database that many hosts share."""
    try:
        return max(float(os.environ.get(POLL_VARIABLE, "")), 0.01)
    except ValueError:
        return POLL_SECONDS


def _register_queues() -> None:
    """Make the queues, with the documented limits."""
    conversions = int(facts.limit("export", "concurrent_conversion_tasks_per_region_default")["value"])
    always = {"polling_interval_sec": poll_seconds(), "on_conflict": "always_update"}
    dbos.DBOS.register_queue(CHECK, worker_concurrency=CHECKS_AT_ONCE, **always)  # type: ignore[arg-type]
    dbos.DBOS.register_queue(
        TRANSFER,
        partition_concurrency=TRANSFERS_PER_HOST,
        worker_concurrency=TRANSFERS_AT_ONCE,
        **always,  # type: ignore[arg-type]
    )
    dbos.DBOS.register_queue(CONVERT, partition_concurrency=conversions, **always)  # type: ignore[arg-type]
    dbos.DBOS.register_queue(COMPLETE, worker_concurrency=TRANSFERS_AT_ONCE, **always)  # type: ignore[arg-type]


def dispatch(record: JobRecord) -> None:
    """Queue an attempt's first phase; doing so twice is harmless."""
    _flows[record.kind].dispatch(record)


@contextmanager
def open_job(runtime: Runtime, job_id: str, control: JobControl) -> Iterator[RunningJob]:
    """Open a job: a context and hooks of its kind."""
    flow = _flows[runtime.store.record(job_id).kind]
    with flow.context(runtime, job_id, control) as context:
        yield RunningJob(context, flow.hooks(context))


def is_alive(job_id: str, attempt: int, executor: str) -> bool:
    """Whether a phase of this attempt is queued, or runs in a process other than this executor's.

    Phases that another version queued do not count: no worker takes them up.
    """
    found = dbos.DBOS.list_workflows(
        workflow_id_prefix=f"{job_id}.{attempt}.",
        status=["ENQUEUED", "PENDING", "DELAYED"],
        app_version=FLOW_VERSION,
        load_input=False,
        load_output=False,
    )
    return any(workflow.status != "PENDING" or workflow.executor_id != executor for workflow in found)


def is_foreign(job_id: str, attempt: int) -> bool:
    """Whether a phase of this attempt is recorded in a format that this program never writes."""
    with _runtime[0].store.begin() as connection:
        schema = "dbos" if connection.dialect.name == "postgresql" else None
        for name in ("workflow_status", "operation_outputs"):
            table = sa.table(name, sa.column("workflow_uuid"), sa.column("serialization"), schema=schema)
            mine = table.c.workflow_uuid.startswith(f"{job_id}.{attempt}.", autoescape=True)
            other = table.c.serialization.is_not(None) & (table.c.serialization != dbos_rows.DBOSPortableJSON.name())
            if connection.execute(sa.select(table.c.workflow_uuid).where(mine, other)).first() is not None:
                return True
    return False


def enqueue(queue: str, work: Phase, job_id: str, attempt: int, partition: str = "") -> None:
    """Put a phase of an attempt into a queue, once."""
    with (
        dbos.SetWorkflowID(f"{job_id}.{attempt}.{queue}"),
        dbos.SetEnqueueOptions(queue_partition_key=partition or None),
    ):
        dbos.DBOS.enqueue_workflow(queue, _workflows[work], job_id, attempt)


@contextmanager
def phase(job_id: str, attempt: int, message: str) -> Iterator[RunningJob | None]:
    """The job, marked as at work; None when this attempt is no longer wanted."""
    runtime = _runtime[0]
    with runtime.controls.working(job_id) as control:
        record = runtime.store.record(job_id)
        wanted = record.attempt == attempt and record.state in {JobState.QUEUED, JobState.RUNNING}
        if not wanted or not runtime.store.become(job_id, JobState.RUNNING, message=message):
            yield None
            return
        control.set(record.control)
        with _marked(runtime, record, control), open_job(runtime, job_id, control) as job:
            yield job


@contextmanager
def _marked(runtime: Runtime, record: JobRecord, control: JobControl) -> Iterator[None]:
    """Mark the job as running, so that the next worker knows it if this one dies."""
    if runtime.crashed_jobs is None:
        yield
        return
    runtime.crashed_jobs.begin(record.id, record.deaths, lambda: not control.wish and not runtime.stopping.is_set())
    try:
        yield
    finally:
        runtime.crashed_jobs.end(record.id)


def step(name: str, context: JobContext, work: Callable[[], Outcome]) -> Outcome:
    """Do ``work`` and record its outcome; when the workflow runs again, the recorded outcome is returned instead."""
    return dbos.DBOS.run_step({"name": name}, outcome_of, context, work)


def steps(context: JobContext, works: Sequence[tuple[str, Callable[[], Outcome]]]) -> Outcome:
    """Run recorded steps one after another until one says END. Returns the last outcome."""
    outcome: Outcome = {}
    for name, work in works:
        outcome = step(name, context, work)
        if END in outcome:
            break
    return outcome


def proceed(job: RunningJob, message: str) -> bool:
    """Let the job wait for its next phase; False when the user has cancelled it."""
    if job.context.become(JobState.QUEUED, message=message):
        return True
    end_attempt(job, {END: JobState.CANCELLED.value})
    return False


def end(job: RunningJob, outcome: Outcome, message: str) -> None:
    """The last phase is over: the job is done, or ends as the outcome says."""
    context: JobContext = job.context
    if END in outcome:
        end_attempt(job, outcome)
        return
    context.say(message, message=False)
    context.become(JobState.DONE, control="", message=message, fraction=1.0, eta=None)


def side_by_side(items: Sequence[T], work: Callable[[T], Outcome], *, name: str) -> list[Outcome]:
    """Run one recorded step per item, each in its own thread; DBOS numbers the steps in the order of the items."""
    reserved = [(item, dbos.DBOS.reserve_step()) for item in items]
    if not reserved:
        return []
    with ThreadPoolExecutor(max_workers=len(reserved), thread_name_prefix=name) as pool:
        futures = [
            pool.submit(contextvars.copy_context().run, partial(one.run, {"name": f"{name} {item}"}, work, item))
            for item, one in reserved
        ]
        return [future.result() for future in futures]
