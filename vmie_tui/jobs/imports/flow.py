"""The phases of an import, each in the queue whose limit it obeys.

    check     a few at once                      -> what can be refused is; which ESXi host the machine is on
    transfer  per ESXi host (its NFC budget)     -> snapshot, one step per disk, snapshot removed
    convert   per Region (its conversion limit)  -> AWS converts or reads the disks, what is made of them, tags
    complete  a few at once                      -> the same where no task of AWS is needed

An attempt continues where the last one stopped: once the transfer is done, no disk is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from vmie_tui.jobs.engine import phases
from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.outcome import END, Outcome, end_attempt, outcome_of
from vmie_tui.jobs.engine.phases import CHECK, COMPLETE, CONVERT, TRANSFER, enqueue, phase, proceed, side_by_side, step
from vmie_tui.jobs.engine.ports import RunningJob
from vmie_tui.jobs.imports import check, finish, import_image, import_instance, register_image, snapshot
from vmie_tui.jobs.imports.hooks import ImportHooks
from vmie_tui.jobs.imports.import_snapshots import import_snapshots
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.records import JobRecord
from vmie_tui.jobs.transfer.target_instance_parts import is_stale
from vmie_tui.jobs.transfer.transfer import Transfer
from vmie_tui.model.plan import ImportPlan, Route, VmSource

Work = Callable[[ImportContext], Outcome]


def dispatch(record: JobRecord) -> None:
    """Queue the first phase of an attempt; a job whose disks are in AWS goes on from there."""
    plan = record.plan
    if isinstance(plan, ImportPlan) and (record.task_id or _is_uploaded(plan, record)):
        _last_phase(plan, record.id, record.attempt)
    else:
        enqueue(CHECK, check_phase, record.id, record.attempt)


def _is_uploaded(plan: ImportPlan, record: JobRecord) -> bool:
    """Whether all disks are in AWS and it can still read them: the signed URLs of parts expire."""
    ledger = record.ledger_as(ImportLedger)
    return ledger.transferred and (plan.route is not Route.INSTANCE or not is_stale(ledger.urls_signed))


def _last_phase(plan: ImportPlan, job_id: str, attempt: int) -> None:
    if plan.aws_reads:
        enqueue(CONVERT, convert_phase, job_id, attempt, plan.region)
    else:
        enqueue(COMPLETE, convert_phase, job_id, attempt)


def _queue_last_phase(job: RunningJob, attempt: int) -> None:
    """The disks are in AWS: wait for the phase that makes the result of them."""
    plan: ImportPlan = job.context.plan
    message = f"waiting for a free conversion slot in {plan.region}" if plan.aws_reads else "waiting to go on"
    if proceed(job, message):
        _last_phase(plan, job.context.job_id, attempt)


def check_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "checking") as job:
        if job is None:
            return
        checked = step("check", job.context, lambda: check.check(job.context, job.hooks))
        if END in checked:
            end_attempt(job, checked)
        elif not job.context.plan.moves_bytes:
            _queue_last_phase(job, attempt)
        elif proceed(job, f"waiting for a free slot on {checked['host']}"):
            enqueue(TRANSFER, transfer_phase, job_id, attempt, checked["host"])


def transfer_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "preparing the transfer") as job:
        if job is None:
            return
        outcome: Outcome = {"snapshot": None}
        if isinstance(job.context.plan.source, VmSource):
            outcome = step("snapshot", job.context, lambda: snapshot.take_snapshot(job.context, job.hooks))
        if END not in outcome:
            outcome = _transfer(job.context, job.hooks, outcome["snapshot"])
        if END in outcome:
            end_attempt(job, outcome)
        else:
            _queue_last_phase(job, attempt)


def _transfer(context: ImportContext, hooks: ImportHooks, snapshot_moid: str | None) -> Outcome:
    """Move the disks, one step per group, side by side under one lease; the first failure stops the others."""
    transfer = Transfer(context, hooks.source(snapshot_moid), hooks.target())
    try:
        prepared = outcome_of(context, lambda: {"groups": transfer.prepare()})  # reads only: not a recorded step
        if END in prepared:
            return prepared

        def one(name: str) -> Outcome:
            result = outcome_of(context, lambda: transfer.move([int(key) for key in name.split("+")]))
            if END in result:
                transfer.source.close()
            return result

        groups = ["+".join(map(str, group)) for group in prepared["groups"]]
        with context.control.on_stop(transfer.source.close):
            outcomes = side_by_side(groups, one, name="disk")
        bad = [outcome for outcome in outcomes if END in outcome]
        if bad:
            return next((outcome for outcome in bad if "problem" in outcome), bad[0])
        outcome = phases.steps(context, hooks.before_release())
        if END in outcome:
            return outcome
        return step("release", context, lambda: _release(context, transfer))
    finally:
        transfer.source.forget()


def _release(context: ImportContext, transfer: Transfer) -> Outcome:
    transfer.close()
    if isinstance(context.plan.source, VmSource):
        # Failing here would throw away the whole upload of a machine that runs: its next snapshot is of another moment.
        context.ask_vcenter(lambda: snapshot.remove_snapshot(context))
    context.remember(transferred=True)
    return {}


def convert_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "going on in AWS") as job:
        if job is None:
            return
        context: ImportContext = job.context
        works = [(name, partial(work, context)) for name, work in _last_steps(context.plan, job.hooks)]
        outcome = phases.steps(context, [*works, *job.hooks.closing()])
        phases.end(job, outcome, f"done: {_results_in_words(context)}")


def _last_steps(plan: ImportPlan, hooks: ImportHooks) -> list[tuple[str, Work]]:
    """The steps from the disks in AWS to the result; each reads from the store what the earlier ones did."""
    works: list[tuple[str, Work]] = []
    if plan.route in {Route.IMAGE, Route.IMAGE_DIRECT}:
        works += [("start import", import_image.start_image), ("watch", import_image.watch_image)]
    elif plan.route is Route.INSTANCE:
        works += [("start import", import_instance.start_conversion), ("watch", import_instance.watch_conversion)]
    elif plan.aws_reads:
        works.append(("import snapshots", import_snapshots))
    if plan.route is Route.UNMODIFIED:
        works.append(("register", register_image.register))
    elif plan.route is Route.SNAPSHOT and plan.volumes is not None:
        works.append(("make volumes", register_image.make_volumes))
    if plan.test_launch is not None:
        works += [("launch", partial(finish.launch_test, hooks=hooks)), ("watch the test", finish.watch_test)]
    works.append(("tag", finish.tag_results))
    if plan.copy_to:
        works.append(("copy", finish.copy_images))
    return works


def _results_in_words(context: ImportContext) -> str:
    """What the job made, for its last message."""
    if image_id := context.record.image_id:
        return image_id
    volumes = [disk.ledger.volume for disk in context.disks() if disk.ledger.volume]
    snapshots = [disk.snapshot_id for disk in context.disks()]
    return next(iter(context.ledger.to_tag), ", ".join(volumes or snapshots))


PHASES = {"check": check_phase, "transfer": transfer_phase, "convert": convert_phase}
FLOW = phases.Flow(ImportContext, ImportHooks, dispatch, PHASES)
