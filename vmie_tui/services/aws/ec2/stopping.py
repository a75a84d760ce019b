"""An instance stopped, its volumes kept."""

from __future__ import annotations

from collections.abc import Callable

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ec2.image_info import describe_instance
from vmie_tui.services.aws.ec2.launch import FIRST_LOOK, GONE, LONGEST_LOOK
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.visible import Pace

SECONDS = 900.0  # ours: a guest that does not end by itself is powered off by EC2 before


def stop_instance(
    aws: Aws, region: str | None, instance_id: str, *, stop: Callable[[], None] = lambda: None, seconds: float = SECONDS
) -> str:
    """Stop it and wait until it is: ``stopped``, or ``terminated`` when it is gone already. Safe to repeat.

    Raises ServiceError: NOT_FOUND, CONFLICT when it still runs after ``seconds``, and what ``stop`` raises.
    """
    pace, asked = Pace(stop, first=FIRST_LOOK, longest=LONGEST_LOOK), False
    while True:
        state = str(describe_instance(aws, region, instance_id)["State"]["Name"])
        if state == "stopped":
            return state
        if state in GONE:
            return "terminated"
        if state == "running" and not asked:  # one that still starts cannot be stopped yet
            with aws_call("stop the instance", instance_id):
                aws.client("ec2", region).stop_instances(InstanceIds=[instance_id])
            asked = True
            continue
        if pace.waited >= seconds:
            raise ServiceError(
                ErrorKind.CONFLICT,
                f"the instance is still {state} after {seconds / 60:.0f} minutes",
                subject=instance_id,
                remedy="See what its guest is doing, stop it in the EC2 console with force, then try again",
                retry_safe=True,
            )
        pace.wait()
