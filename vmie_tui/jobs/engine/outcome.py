"""How an attempt ends: what its error means for the job, the clean-up, and the job's next state."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from vmie_tui.jobs.engine.context import JobContext
from vmie_tui.jobs.engine.control import Paused
from vmie_tui.jobs.engine.ports import RunningJob
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.jobs.store.store import Store
from vmie_tui.known_secrets import hidden_value, trace
from vmie_tui.model.errors import Cancelled, ErrorKind, Problem, VmieError
from vmie_tui.model.explain import identified
from vmie_tui.model.job import StageState
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.task import JobState
from vmie_tui.private_files import private_dir, write_private

Outcome = dict[str, Any]
END = "end"  # key of an outcome that stops the attempt; its value is the state the job enters


def outcome_of(context: JobContext, work: Callable[[], Outcome]) -> Outcome:
    """The work's result or, as plain JSON, what its error means for the job: DBOS never sees an exception."""
    try:
        context.control.check()
        return work()
    except Exception as error:  # noqa: BLE001 - a bug must end the job, not the worker
        if context.stopping.is_set():
            # Leases and connections are being closed under this step. It is not over: the next worker repeats it.
            threading.Event().wait()
        return _meaning(context, error)


def _meaning(context: JobContext, error: Exception) -> Outcome:
    if isinstance(error, Cancelled):
        return {END: JobState.CANCELLED.value}
    if isinstance(error, Paused):
        return {END: JobState.PAUSED.value}
    if isinstance(error, VmieError):
        state = JobState.NEEDS_LOGIN if error.kind is ErrorKind.LOGIN else JobState.FAILED
        return {END: state.value, "problem": hidden_value(identified(_named(context, error.problem)).to_json())}
    return {END: JobState.FAILED.value, "problem": _bug(context, error).to_json()}


def _named(context: JobContext, problem: Problem) -> Problem:
    """The problem with the machine's name as its subject, where vCenter's id says nothing to a user."""
    with contextlib.suppress(VmieError):  # the database may be what fails
        record = context.record
        from_vm = isinstance(record.plan, ImportPlan) and isinstance(record.plan.source, VmSource)
        if from_vm and problem.subject and problem.subject == record.ledger_as(ImportLedger).moid:
            return replace(problem, subject=record.name)
    return problem


def _bug(context: JobContext, error: Exception) -> Problem:
    folder = private_dir(context.settings.log_dir)
    path = folder / f"crash-{context.job_id}-{datetime.now(UTC):%Y%m%dT%H%M%S}.txt"
    write_private(path, trace(error).encode("utf-8", "backslashreplace"))
    return Problem(ErrorKind.BUG, f"vmie-tui failed: {type(error).__name__}", remedy=f"Please report it with {path}")


def end_attempt(job: RunningJob, outcome: Outcome) -> None:
    """Clean up as the outcome demands, and put the job into its state."""
    context: JobContext = job.context
    state = JobState(outcome[END])
    if context.record.state is JobState.CANCELLING:
        state = JobState.CANCELLED
    if state is JobState.CANCELLED:
        cancel(job)
    elif state is JobState.PAUSED:
        _wait(context, state, "paused; what was uploaded is kept")
    elif state is JobState.NEEDS_LOGIN:
        context.forget_login()
        problem = Problem.from_json(outcome["problem"])
        context.say(str(problem), message=False, level="error")
        _wait(context, state, f"waits for a login: {problem.what}", problem=outcome["problem"])
    else:
        fail(job, Problem.from_json(outcome["problem"]))


def _wait(context: JobContext, state: JobState, message: str, **values: Any) -> None:
    context.say(message, message=False)
    ledger = context.record.ledger
    if isinstance(ledger, ImportLedger) and ledger.snapshot:  # with it the copy goes on where it stopped
        stays = "our snapshot stays on the machine meanwhile, and grows as it writes: resume the job soon, or cancel it"
        context.say(stays, message=False, level="warning")
    context.close_stages(StageState.PENDING)
    context.become(state, control="", message=message, rate=0.0, eta=None, **values)


def fail(job: RunningJob, problem: Problem) -> None:
    """The job failed: give back what it holds of vCenter and AWS, and keep the upload for a resume."""
    give_back(job)
    record_failure(job.context.store, job.context.job_id, problem)


def give_back(job: RunningJob) -> None:
    """Give back what the job holds of vCenter and AWS; the upload stays for a resume."""
    for what, work in job.hooks.give_back():
        _try(job.context, what, work)


def record_failure(store: Store, job_id: str, problem: Problem) -> None:
    """Put the job into FAILED, without any clean-up."""
    store.log(job_id, str(problem), "error")
    store.close_stages(job_id, StageState.FAILED)
    store.become(
        job_id,
        JobState.FAILED,
        control="",
        message=problem.what,
        problem=problem.to_json(),
        rate=0.0,
        eta=None,
    )


def cancel(job: RunningJob) -> None:
    """The job is cancelled: remove all it made. What cannot be removed is named in the log."""
    context: JobContext = job.context
    for what, work in job.hooks.undo():
        _try(context, what, work)
    context.say("cancelled", message=False)
    context.close_stages(StageState.SKIPPED)
    context.become(JobState.CANCELLED, control="", message="cancelled", rate=0.0, eta=None)


def _try(context: JobContext, what: str, work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - a bug here must not keep the job from ending
        with contextlib.suppress(VmieError, OSError):
            why = error if isinstance(error, VmieError) else _bug(context, error)
            context.say(f"{what} could not be removed: {why}", message=False, level="warning")
