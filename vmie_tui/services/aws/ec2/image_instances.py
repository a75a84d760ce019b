"""Which instances run an AMI."""

from __future__ import annotations

from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.session import Aws

ALIVE = ("pending", "running", "stopping", "stopped")


def instances_of(aws: Aws, region: str | None, image_id: str) -> tuple[str, ...]:
    """Ids of the AMI's instances that are not terminated, the newest first."""
    filters = [{"Name": "image-id", "Values": [image_id]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    with aws_call("look for instances of the image", image_id):
        pages = aws.client("ec2", region).get_paginator("describe_instances").paginate(Filters=filters)
        found = [item for page in pages for group in page["Reservations"] for item in group["Instances"]]
    found.sort(key=lambda item: item["LaunchTime"], reverse=True)
    return tuple(str(item["InstanceId"]) for item in found)
