"""The durable side: DBOS workflows that walk a job through its phases, each phase in the queue whose limit it obeys.

    check     a few at once                      -> which ESXi host the machine is on
    transfer  per ESXi host (its NFC budget)     -> snapshot, one step per disk, snapshot removed
    convert   per Region (its conversion limit)  -> ImportImage, watch, tags

A phase ends by queueing the next one. Steps return plain JSON, also for errors; a killed worker's successor finds the
finished steps recorded and goes on. A workflow carries the number of its attempt: one that was overtaken by a
resume, pause or cancel finds so at its start and leaves.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

from vmie_tui.jobs import import_vm
from vmie_tui.jobs.context import JobContext, Runtime
from vmie_tui.jobs.retry import again
from vmie_tui.jobs.settle import END, Outcome, outcome_of, settle
from vmie_tui.jobs.store import JobRecord
from vmie_tui.model import facts
from vmie_tui.model.task import JobState

CHECK, TRANSFER, CONVERT = "vmie-check", "vmie-transfer", "vmie-convert"
CHECKS_AT_ONCE = 4
TRANSFERS_PER_HOST = 3  # an ESXi host's NFC budget is about 48 MB and 48 streams (trap 10)
TRANSFERS_AT_ONCE = 8
POLL_SECONDS = 0.5

_runtime: list[Runtime] = []


def install(runtime: Runtime) -> None:
    """Give the workflows of this process what they share. Before launch."""
    _runtime[:] = [runtime]


def register_queues() -> None:
    """After launch: the queues and the documented limits."""
    conversions = int(facts.limit("export", "concurrent_conversion_tasks_per_region_default")["value"])
    always = {"polling_interval_sec": POLL_SECONDS, "on_conflict": "always_update"}
    DBOS.register_queue(CHECK, worker_concurrency=CHECKS_AT_ONCE, **always)  # type: ignore[arg-type]
    DBOS.register_queue(
        TRANSFER,
        partition_concurrency=TRANSFERS_PER_HOST,
        worker_concurrency=TRANSFERS_AT_ONCE,
        **always,  # type: ignore[arg-type]
    )
    DBOS.register_queue(CONVERT, partition_concurrency=conversions, **always)  # type: ignore[arg-type]


def dispatch(record: JobRecord) -> None:
    """Queue the first phase of an attempt; doing so twice is harmless.

    A job whose import task AWS has taken up waits for that task: its disks must not be touched again.
    """
    if record.task_id:
        _enqueue(CONVERT, convert_phase, record.id, record.attempt, record.plan.region)
    else:
        _enqueue(CHECK, check_phase, record.id, record.attempt)


def is_alive(job_id: str, attempt: int, executor: str) -> bool:
    """Whether a phase of this attempt waits in a queue, or runs in another process than this executor's."""
    found = DBOS.list_workflows(
        workflow_id_prefix=f"{job_id}.{attempt}.",
        status=["ENQUEUED", "PENDING", "DELAYED"],
        load_input=False,
        load_output=False,
    )
    return any(workflow.status != "PENDING" or workflow.executor_id != executor for workflow in found)


def _enqueue(queue: str, phase: Callable[[str, int], None], job_id: str, attempt: int, partition: str = "") -> None:
    with SetWorkflowID(f"{job_id}.{attempt}.{queue}"), SetEnqueueOptions(queue_partition_key=partition or None):
        DBOS.enqueue_workflow(queue, phase, job_id, attempt)


@contextmanager
def _phase(job_id: str, attempt: int, message: str) -> Iterator[JobContext | None]:
    """The job's context, marked as at work; None when this attempt is no longer wanted."""
    runtime = _runtime[0]
    with runtime.controls.working(job_id) as control:
        record = runtime.store.record(job_id)
        wanted = record.attempt == attempt and record.state in {JobState.QUEUED, JobState.RUNNING}
        if not wanted or not runtime.store.become(job_id, JobState.RUNNING, message=message):
            yield None
            return
        control.set(record.control)
        with JobContext(runtime, job_id, control) as context:
            yield context


def _step(name: str, context: JobContext, work: Callable[[], Outcome]) -> Outcome:
    return DBOS.run_step({"name": name}, outcome_of, context, work)


def _next(context: JobContext, message: str) -> bool:
    """Wait in the next phase's queue; False when the user cancelled meanwhile."""
    if context.store.become(context.job_id, JobState.QUEUED, message=message):
        return True
    settle(context, {END: JobState.CANCELLED.value})
    return False


@DBOS.workflow(name="check", max_recovery_attempts=None)
def check_phase(job_id: str, attempt: int) -> None:
    with _phase(job_id, attempt, "checking") as context:
        if context is None:
            return
        checked = _step("check", context, lambda: import_vm.check(context))
        if END in checked:
            settle(context, checked)
        elif _next(context, f"waiting for a free slot on {checked['host']}"):
            _enqueue(TRANSFER, transfer_phase, job_id, attempt, checked["host"])


@DBOS.workflow(name="transfer", max_recovery_attempts=None)
def transfer_phase(job_id: str, attempt: int) -> None:
    with _phase(job_id, attempt, "preparing the transfer") as context:
        if context is None:
            return
        outcome = _step("snapshot", context, lambda: import_vm.snapshot(context))
        if END not in outcome:
            outcome = _transfer(context, outcome["snapshot"])
        if END in outcome:
            settle(context, outcome)
        elif _next(context, f"waiting for a free conversion slot in {context.plan.region}"):
            _enqueue(CONVERT, convert_phase, job_id, attempt, context.plan.region)


def _transfer(context: JobContext, snapshot_moid: str | None) -> Outcome:
    """One step per disk, side by side under one lease; the first disk that fails stops the others."""
    upload = import_vm.Upload(context, snapshot_moid)
    prepared = outcome_of(context, lambda: {"keys": upload.prepare()})  # reads only: not a recorded step
    if END in prepared:
        return prepared

    def one(key: int) -> Outcome:
        result = outcome_of(context, lambda: upload.move(key))
        if END in result:
            upload.holder.close()
        return result

    try:
        with context.control.on_stop(upload.holder.close):
            outcomes = _side_by_side(prepared["keys"], one)
    finally:
        upload.holder.forget()
    bad = [outcome for outcome in outcomes if END in outcome]
    if bad:
        return next((outcome for outcome in bad if "problem" in outcome), bad[0])
    return _step("release", context, lambda: _release(context, upload))


def _release(context: JobContext, upload: import_vm.Upload) -> Outcome:
    upload.close()
    # Failing here would throw away the whole upload of a machine that runs: its next snapshot is of another moment.
    again(lambda: import_vm.remove_snapshot(context), context.control, before=lambda _: context.reconnect())
    return {}


def _side_by_side(keys: list[int], work: Callable[[int], Outcome]) -> list[Outcome]:
    """Run one recorded step per key in threads of their own; the steps' numbers are drawn in the order of the keys."""
    reserved = [(key, DBOS.reserve_step()) for key in keys]
    if not reserved:
        return []
    with ThreadPoolExecutor(max_workers=len(reserved), thread_name_prefix="disk") as pool:
        futures = [
            pool.submit(contextvars.copy_context().run, partial(step.run, {"name": f"disk {key}"}, work, key))
            for key, step in reserved
        ]
        return [future.result() for future in futures]


@DBOS.workflow(name="convert", max_recovery_attempts=None)
def convert_phase(job_id: str, attempt: int) -> None:
    with _phase(job_id, attempt, "asking AWS for the conversion") as context:
        if context is None:
            return
        outcome = _convert(context)
        if END in outcome:
            settle(context, outcome)
        else:
            context.store.log(job_id, f"done: {outcome['image']}")
            context.store.become(
                job_id, JobState.DONE, control="", message=f"done: {outcome['image']}", fraction=1.0, eta=None
            )


def _convert(context: JobContext) -> dict[str, Any]:
    started = _step("start import", context, lambda: import_vm.start_import(context))
    if END in started:
        return started
    watched = _step("watch", context, lambda: import_vm.watch(context, started["task"]))
    if END in watched:
        return watched
    finished = _step("finish", context, lambda: import_vm.finish(context, watched["image"], watched["snapshots"]))
    return finished if END in finished else watched
