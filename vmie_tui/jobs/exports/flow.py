"""The phases of an export, each in the queue whose limit it obeys.

check     a few at once                      -> the considerations of the guides, the bucket, the role
convert   per Region (its conversion limit)  -> CreateInstanceExportTask or ExportImage, watch, find the object
transfer  this machine's own                 -> download, convert, back into vCenter
"""

from __future__ import annotations

from vmie_tui.jobs.engine import phases
from vmie_tui.jobs.engine.outcome import END, Outcome, end_attempt
from vmie_tui.jobs.engine.phases import CHECK, CONVERT, TRANSFER, enqueue, phase, proceed, step, steps
from vmie_tui.jobs.exports import deploy
from vmie_tui.jobs.exports import steps as export
from vmie_tui.jobs.exports.context import ExportContext
from vmie_tui.jobs.exports.undo import ExportUndo
from vmie_tui.jobs.store.ledger import ExportLedger
from vmie_tui.jobs.store.records import JobRecord

HERE = "local"  # the partition of transfers that no ESXi host limits


def dispatch(record: JobRecord) -> None:
    """Queue an attempt's first phase: download a finished export, watch a running task, or begin with the check."""
    if record.ledger_as(ExportLedger).objects:
        enqueue(TRANSFER, bring_phase, record.id, record.attempt, HERE)
    elif record.task_id:
        enqueue(CONVERT, write_phase, record.id, record.attempt, record.plan.region)
    else:
        enqueue(CHECK, check_export_phase, record.id, record.attempt)


def check_export_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "checking") as job:
        if job is None:
            return
        checked = step("check", job.context, lambda: export.check(job.context))
        if END in checked:
            end_attempt(job, checked)
        elif proceed(job, f"waiting for a free conversion slot in {job.context.plan.region}"):
            enqueue(CONVERT, write_phase, job_id, attempt, job.context.plan.region)


def write_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "asking AWS for the export") as job:
        if job is None:
            return
        outcome = _write(job.context)
        if END in outcome:
            end_attempt(job, outcome)
        elif proceed(job, "waiting to go on with the exported object"):
            enqueue(TRANSFER, bring_phase, job_id, attempt, HERE)


def _write(context: ExportContext) -> Outcome:
    started = step("start export", context, lambda: export.start(context))
    return started if END in started else step("watch", context, lambda: export.watch(context, started["task"]))


def bring_phase(job_id: str, attempt: int) -> None:
    with phase(job_id, attempt, "going on with the exported object") as job:
        if job is not None:
            outcome = _bring(job.context)
            phases.end(job, outcome, f"done: {outcome.get('where')}")


def _bring(context: ExportContext) -> Outcome:
    plan = context.plan
    if plan.downloads:
        outcome = step("download", context, lambda: export.download(context))
        if END not in outcome and plan.convert_to:
            files = outcome["files"]
            outcome = step("convert", context, lambda: export.convert(context, files))
        if END not in outcome:
            outcome = step("downloaded", context, lambda: export.finish_download(context))
        if END in outcome:
            return outcome
    if plan.deploy is not None:
        outcome = step("deploy", context, lambda: deploy.deploy_machine(context))
        if END in outcome:
            return outcome
    return steps(context, [("finish", lambda: export.finish(context))])


PHASES = {"check export": check_export_phase, "write export": write_phase, "bring export": bring_phase}
FLOW = phases.Flow(ExportContext, ExportUndo, dispatch, PHASES)
