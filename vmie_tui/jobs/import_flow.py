"""The phases of an import, each in the queue whose limit it obeys.

check     a few at once                      -> which ESXi host the machine is on
transfer  per ESXi host (its NFC budget)     -> snapshot, one step per disk, snapshot removed
convert   per Region (its conversion limit)  -> ImportImage, watch, tags
"""

from __future__ import annotations

from typing import Any

from dbos import DBOS

from vmie_tui.jobs import engine, import_vm
from vmie_tui.jobs.engine import CHECK, CONVERT, TRANSFER, enqueue, phase, proceed, side_by_side, step
from vmie_tui.jobs.import_context import ImportContext
from vmie_tui.jobs.kinds import KIND_IMPORT
from vmie_tui.jobs.retry import again
from vmie_tui.jobs.settle import END, Outcome, outcome_of, settle
from vmie_tui.jobs.store import JobRecord


def dispatch(record: JobRecord) -> None:
    """A job whose import task AWS has taken up waits for that task: its disks must not be touched again."""
    if record.task_id:
        enqueue(CONVERT, convert_phase, record.id, record.attempt, record.plan.region)
    else:
        enqueue(CHECK, check_phase, record.id, record.attempt)


@DBOS.workflow(name="check", max_recovery_attempts=None)
def check_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "checking") as context:
        if context is None:
            return
        checked = step("check", context, lambda: import_vm.check(context))
        if END in checked:
            settle(context, checked)
        elif proceed(context, f"waiting for a free slot on {checked['host']}"):
            enqueue(TRANSFER, transfer_phase, job_id, attempt, checked["host"])


@DBOS.workflow(name="transfer", max_recovery_attempts=None)
def transfer_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "preparing the transfer") as context:
        if context is None:
            return
        outcome = step("snapshot", context, lambda: import_vm.snapshot(context))
        if END not in outcome:
            outcome = _transfer(context, outcome["snapshot"])
        if END in outcome:
            settle(context, outcome)
        elif proceed(context, f"waiting for a free conversion slot in {context.plan.region}"):
            enqueue(CONVERT, convert_phase, job_id, attempt, context.plan.region)


def _transfer(context: ImportContext, snapshot_moid: str | None) -> Outcome:
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
            outcomes = side_by_side(prepared["keys"], one, name="disk")
    finally:
        upload.holder.forget()
    bad = [outcome for outcome in outcomes if END in outcome]
    if bad:
        return next((outcome for outcome in bad if "problem" in outcome), bad[0])
    return step("release", context, lambda: _release(context, upload))


def _release(context: ImportContext, upload: import_vm.Upload) -> Outcome:
    upload.close()
    # Failing here would throw away the whole upload of a machine that runs: its next snapshot is of another moment.
    again(lambda: import_vm.remove_snapshot(context), context.control, before=lambda _: context.reconnect())
    return {}


@DBOS.workflow(name="convert", max_recovery_attempts=None)
def convert_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "asking AWS for the conversion") as context:
        if context is not None:
            outcome = _convert(context)
            engine.end(context, outcome, f"done: {outcome.get('image')}")


def _convert(context: ImportContext) -> dict[str, Any]:
    started = step("start import", context, lambda: import_vm.start_import(context))
    if END in started:
        return started
    watched = step("watch", context, lambda: import_vm.watch(context, started["task"]))
    if END in watched:
        return watched
    finished = step("finish", context, lambda: import_vm.finish(context, watched["image"], watched["snapshots"]))
    return finished if END in finished else watched


engine.add_flow(KIND_IMPORT, engine.Flow(ImportContext, dispatch))
