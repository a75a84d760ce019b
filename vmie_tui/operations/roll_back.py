"""Going back from a cutover: the instance is stopped, the virtual machine powered on."""

from __future__ import annotations

from collections.abc import Callable

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Power
from vmie_tui.model.replication import TAG_RUN, ReplicationView, Run
from vmie_tui.services.aws.ec2.image_info import describe_instance
from vmie_tui.services.aws.ec2.launch import stop_instance
from vmie_tui.services.aws.parameters import tags_of
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.power import power_on
from vmie_tui.services.vsphere.session import VSphere


def no_way_back(view: ReplicationView) -> str:
    """Why one cannot go back from its cutover, in a sentence; "" when one can."""
    if view.current is not None and view.current.cutover:
        return f"The cutover {view.current.id} of {view.name} is at work: wait until it is over, or cancel it."
    return "" if view.cut_over is not None else f"{view.name} was not cut over: there is nothing to go back from."


def last_cutover(view: ReplicationView) -> Run:
    """The run to go back from. Raises ServiceError CONFLICT when there is none, or one is still at work."""
    run = view.cut_over
    if run is None or no_way_back(view):
        raise ServiceError(ErrorKind.CONFLICT, no_way_back(view).rstrip("."))
    return run


def roll_back(
    vsphere: VSphere,
    aws: Aws,
    region: str | None,
    *,
    moid: str,
    instance_id: str = "",
    on_step: Callable[[str], None] = lambda words: None,
    check: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Stop what a cutover launched, then power the VM on; in words what was done. Safe to repeat.

    In this order, since both are the same machine to the network. The instance is stopped and not terminated: what was
    written in EC2 since the cutover is on its volumes alone. ``instance_id`` empty: nothing was launched.

    Raises ServiceError: REFUSED, before anything is changed, for an instance that no replication run has launched;
    NOT_FOUND for a VM that is no more. When the VM cannot be powered on, its error says how the instance comes back.
    """
    machine = read_machine(vsphere, moid)
    done: list[str] = []
    if instance_id:
        done.append(_stop(aws, region, instance_id, on_step, check))
    if machine.power is Power.ON:
        return (*done, f"{machine.name} was powered on already")
    on_step(f"powering {machine.name} on")
    try:
        power_on(vsphere, moid, check=check)
    except ServiceError as error:
        told = error.problem
        back = f"Power {machine.name} on in vCenter" + (f", or start {instance_id} again in EC2" if done else "")
        raise ServiceError(
            told.kind,
            told.what,
            subject=told.subject or machine.name,
            remedy=f"{told.remedy.rstrip('.')}. {back}" if told.remedy else back,
            retry_safe=True,
            code=told.code,
            detail=told.detail,
        ) from error
    return (*done, f"{machine.name} is powered on")


def _stop(
    aws: Aws, region: str | None, instance_id: str, on_step: Callable[[str], None], check: Callable[[], None]
) -> str:
    """Stop the instance, if a run of ours has launched it; what to say of it."""
    try:
        found = describe_instance(aws, region, instance_id)
    except ServiceError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        return f"{instance_id} is gone already"
    if TAG_RUN not in tags_of(found):
        raise ServiceError(
            ErrorKind.REFUSED,
            "no replication run has launched this instance, so it is not stopped",
            subject=instance_id,
            remedy=f"A cutover's instance has the tag {TAG_RUN}; look at it in EC2, then power the VM on in vCenter",
        )
    on_step(f"stopping {instance_id}")
    if stop_instance(aws, region, instance_id, check=check) == "terminated":
        return f"{instance_id} is terminated already"
    return f"{instance_id} is stopped: what was written in EC2 stays on its volumes until you terminate it"
