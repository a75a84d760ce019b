"""The machine of a cutover: shut down before the last copy, and off until the instance replaces it."""

from __future__ import annotations

from functools import partial

from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.store.ledger import RunLedger
from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.model.machine import Power
from vmie_tui.model.task import JobState
from vmie_tui.services.aws.ec2.launch import state as instance_state
from vmie_tui.services.vsphere.power import power_state
from vmie_tui.services.vsphere.power import shut_down as shut_down_guest

SHUT_DOWN_SECONDS = 900.0  # ours: how long a guest may take, updates that are installed on the way down included


def shut_down(context: ReplicationContext) -> None:
    """Ask the guest to shut down, and wait until the machine is off. Raises ServiceError."""
    _refuse_second_cutover(context)
    context.say("cutover: shutting the guest down")
    context.remember(shut_down=True, ran_again=False)
    shut_down_guest(
        context.vsphere,
        context.ledger.moid,
        seconds=SHUT_DOWN_SECONDS,
        on_state=lambda power: context.say(f"the machine is {power.value}", message=False),
        check=context.control.check,
    )
    context.say("the machine is off. To go back to it at any time: power it on in vCenter", message=False)


def _refuse_second_cutover(context: ReplicationContext) -> None:
    """Raises ServiceError CONFLICT while an earlier cutover's instance runs, unless it is isolated.

    A group is cut over as a whole, and one of its machines may have been cut over before.
    """
    for job_id, wish in context.replications.wishes(context.plan.replication):
        if job_id == context.job_id or wish.cutover is None or wish.cutover.isolated:
            continue
        instance = context.store.record(job_id).ledger_as(RunLedger).instance
        if not instance:
            continue
        try:
            found = context.retry(partial(instance_state, context.aws, context.plan.region, instance))
        except ServiceError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            continue
        if found.state in {"pending", "running"}:
            raise ServiceError(
                ErrorKind.CONFLICT,
                f"it was cut over before, to {instance}, which is {found.state}",
                subject=context.plan.source.name,
                remedy="Two of the same machine would run. Go back from that cutover, or stop the instance, first",
            )


def ran_again(context: ReplicationContext) -> bool:
    """Whether somebody powered the machine on after we shut it down; once seen, it stays noted.

    What it wrote then is in no copy of this run, even if it is off again.
    """
    ledger = context.ledger
    if ledger.ran_again:
        return True
    power = context.ask_vcenter(lambda: power_state(context.vsphere, ledger.moid))
    if power is not Power.OFF:
        context.remember(ran_again=True)
    return power is not Power.OFF


def refuse_running_machine(context: ReplicationContext) -> None:
    """Raises ServiceError CONFLICT when a cutover's machine ran again: then no instance may replace it."""
    if context.plan.shut_down and ran_again(context):
        raise ServiceError(
            ErrorKind.CONFLICT,
            "the machine was powered on again after it was shut down for the cutover",
            subject=context.plan.source.name,
            remedy="What it writes since then is not in AWS, so nothing is launched: start the cutover once more",
        )


def say_machine_is_off(context: ReplicationContext) -> None:
    """After a cutover that failed: say that the machine is still off in vCenter."""
    ledger = context.ledger
    replaced = bool(ledger.instance) and context.record.state is not JobState.CANCELLING
    if replaced or not ledger.shut_down:
        return
    try:
        off = power_state(context.vsphere, ledger.moid) is Power.OFF
    except VmieError as error:
        words = f"the machine was to be shut down for the cutover; vCenter does not say whether it is off: {error}"
        context.say(words, message=False, level="warning")
        return
    if off:
        context.say(
            "the machine was shut down for the cutover and still is: power it on to go back to it",
            message=False,
            level="warning",
        )
