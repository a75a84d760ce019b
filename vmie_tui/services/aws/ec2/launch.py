"""Launches, checks and terminates test instances, each in its own security group, and stops instances."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ec2.image_info import describe_image, describe_instance
from vmie_tui.services.aws.ec2.instance_types import InstanceType, pick_instance_type
from vmie_tui.services.aws.errors import aws_call, aws_delete
from vmie_tui.services.aws.parameters import tag_specifications, without_empty
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.pacing import Check, Poll, nothing, until_found

__all__ = [
    "InstanceState",
    "InstanceType",
    "LaunchRequest",
    "LaunchedInstance",
    "console_output",
    "launch",
    "pick_instance_type",
    "screenshot",
    "state",
    "terminate",
    "wait_for_checks",
]

GROUP = "vmie-tui-test-"  # names of the security groups made here begin so; the instance's client token follows
FIRST_LOOK, LONGEST_LOOK = 0.5, 10.0
STOP_SECONDS = 900.0  # ours: a guest that does not end by itself is powered off by EC2 before
PASSED = "ok"
WAITING = frozenset({"", "initializing", "insufficient-data", "not-applicable"})
GONE = frozenset({"shutting-down", "terminated"})

NO_VPC = "Name a subnet: this Region has no default VPC"
QUOTA = "Ask AWS for a higher quota of vCPUs (Service Quotas, EC2), or terminate an instance, or use a smaller type"
FIT = "Choose an instance type that fits the AMI's architecture, boot mode and ENA"
REMEDIES = {
    "VPCIdNotSpecified": NO_VPC,
    "DefaultVpcDoesNotExist": NO_VPC,
    "MissingInput": NO_VPC,
    "VcpuLimitExceeded": QUOTA,
    "InstanceLimitExceeded": QUOTA,
    "MaxSpotInstanceCountExceeded": QUOTA,
    "InsufficientInstanceCapacity": "AWS has no room for this type in the zone now: try later, or another type or zone",
    "Unsupported": "Choose another instance type or another subnet's zone",
    "UnsupportedOperation": "Choose another instance type",
    "InvalidParameterCombination": FIT,
    "InvalidKeyPair.NotFound": "Name a key pair of this Region, or none",
    "InvalidSubnetID.NotFound": "Name a subnet of this Region",
    "InvalidAMIID.Unavailable": "Wait until the AMI is available",
    "PendingVerification": "AWS verifies the account first: wait for its e-mail, then try again",
    "OptInRequired": "Accept the terms of the product in AWS Marketplace first",
}
_REFUSED = frozenset({"VcpuLimitExceeded", "InstanceLimitExceeded", "Unsupported", "UnsupportedOperation"})


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What to launch. ``client_token``: at most 64 characters; the same one finds the same instance (and group) again.

    ``isolated``: in a security group of its own that lets nothing in or out, without a public address; else in the
    VPC's default group. ``subnet_id``: empty is a default subnet. ``key_name``: empty is none.
    """

    image_id: str
    instance_type: str
    client_token: str
    subnet_id: str = ""
    key_name: str = ""
    isolated: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaunchedInstance:
    """``security_group_id``: the group made for it, empty when there is none."""

    id: str
    image_id: str
    instance_type: str
    security_group_id: str = ""
    subnet_id: str = ""
    state: str = "pending"


@dataclass(frozen=True, slots=True)
class InstanceState:
    """``state``: pending, running, stopped, terminated, ...; ``reason``: AWS's words for a change it made by itself.

    ``system_check`` and ``instance_check``: ok, impaired, initializing, insufficient-data, not-applicable.
    """

    id: str
    state: str
    reason: str = ""
    system_check: str = ""
    instance_check: str = ""
    instance_type: str = ""
    image_id: str = ""
    private_address: str = ""
    public_address: str = ""

    @property
    def healthy(self) -> bool:
        """Whether both status checks passed: the guest answers on its network card."""
        return self.state == "running" and self.system_check == self.instance_check == PASSED

    @property
    def settled(self) -> bool:
        """Whether waiting longer will not change the verdict of the checks."""
        if self.state in GONE or self.state == "stopped":
            return True
        return self.state == "running" and self.system_check not in WAITING and self.instance_check not in WAITING


def launch(aws: Aws, region: str | None, request: LaunchRequest) -> LaunchedInstance:
    """Launches one instance, once per client token. Its volumes are deleted when it is terminated.

    Raises ServiceError with a remedy for a missing default VPC, a quota, a type that does not fit or has no room.
    """
    ec2 = aws.client("ec2", region)
    image = describe_image(aws, region, request.image_id)
    group = _isolated_group(aws, region, request) if request.isolated else ""
    arguments: dict[str, Any] = {
        "ImageId": request.image_id,
        "InstanceType": request.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": request.client_token,
        "TagSpecifications": tag_specifications(request.tags, "instance", "volume"),
        "BlockDeviceMappings": [
            {"DeviceName": disk.device, "Ebs": {"DeleteOnTermination": True}} for disk in image.disks
        ],
    }
    if request.key_name:
        arguments["KeyName"] = request.key_name
    if group:
        card = {"DeviceIndex": 0, "Groups": [group], "AssociatePublicIpAddress": False}
        arguments["NetworkInterfaces"] = [card | ({"SubnetId": request.subnet_id} if request.subnet_id else {})]
    elif request.subnet_id:
        arguments["SubnetId"] = request.subnet_id
    try:
        with aws_call(f"launch a {request.instance_type}", request.image_id):
            answer = ec2.run_instances(**without_empty(**arguments))
    except ServiceError as error:
        if group:
            with contextlib.suppress(ServiceError):
                _delete_group(aws, region, group)  # refused while an earlier launch's instance uses it
        raise _explained(error) from error
    ident = str(answer["Instances"][0]["InstanceId"])
    data = until_found(lambda: describe_instance(aws, region, ident))
    return LaunchedInstance(
        ident,
        request.image_id,
        str(data.get("InstanceType") or request.instance_type),
        group,
        str(data.get("SubnetId") or ""),
        str(data["State"]["Name"]),
    )


def _explained(error: ServiceError) -> ServiceError:
    told = error.problem
    remedy = REMEDIES.get(told.code)
    if told.code == "InvalidParameterValue":  # EC2's code for a good dozen of things: its words tell which
        if "architecture" in told.detail:
            remedy = FIT
        elif "InstanceType" in told.detail or "instance type" in told.detail:
            remedy = "Name an instance type that this Region has"
    if not remedy:
        return error
    return ServiceError(
        ErrorKind.REFUSED if told.code in _REFUSED else told.kind,
        told.what,
        subject=told.subject,
        remedy=remedy,
        retry_safe=told.code == "InsufficientInstanceCapacity",
        code=told.code,
        detail=told.detail,
    )


# the security group


def _isolated_group(aws: Aws, region: str | None, request: LaunchRequest) -> str:
    """The security group of this launch, which has no rules; created at the first call."""
    ec2, name = aws.client("ec2", region), GROUP + request.client_token
    vpc = _vpc(aws, region, request.subnet_id)
    found = _groups(aws, region, name, vpc)
    if not found:
        with aws_call("make a security group for the test", vpc):
            ec2.create_security_group(
                GroupName=name,
                Description=f"Nothing in, nothing out: test launch of {request.image_id}",
                VpcId=vpc,
                TagSpecifications=tag_specifications(request.tags or {"Name": name}, "security-group"),
            )
        found = until_found(lambda: _groups(aws, region, name, vpc, must=True))
    group = found[0]
    ident = str(group["GroupId"])
    with aws_call("take the rules out of the security group", ident):
        if group.get("IpPermissionsEgress"):
            ec2.revoke_security_group_egress(GroupId=ident, IpPermissions=_rules(group["IpPermissionsEgress"]))
        if group.get("IpPermissions"):
            ec2.revoke_security_group_ingress(GroupId=ident, IpPermissions=_rules(group["IpPermissions"]))
    return ident


def _rules(permissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules as described, without the empty lists that EC2 rejects in a request."""
    return [{name: value for name, value in rule.items() if value not in ([], None)} for rule in permissions]


def _vpc(aws: Aws, region: str | None, subnet_id: str) -> str:
    ec2 = aws.client("ec2", region)
    if subnet_id:
        try:
            with aws_call("look at the subnet", subnet_id):
                return str(ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["VpcId"])
        except ServiceError as error:
            raise _explained(error) from error
    with aws_call("look for the default VPC", region or aws.region):
        found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise ServiceError(
            ErrorKind.INVALID, "there is no default VPC to launch in", subject=region or aws.region, remedy=NO_VPC
        )
    return str(found[0]["VpcId"])


def _groups(aws: Aws, region: str | None, name: str, vpc: str = "", *, must: bool = False) -> list[dict[str, Any]]:
    """The security groups of a name; ``must``: NOT_FOUND when there is none."""
    filters = [{"Name": "group-name", "Values": [name]}] + ([{"Name": "vpc-id", "Values": [vpc]}] if vpc else [])
    with aws_call("look for the security group", name):
        answer = aws.client("ec2", region).describe_security_groups(Filters=filters)
    found: list[dict[str, Any]] = answer["SecurityGroups"]
    if must and not found:
        raise ServiceError(ErrorKind.NOT_FOUND, "the security group is not there", subject=name, retry_safe=True)
    return found


def _delete_group(aws: Aws, region: str | None, ident: str) -> None:
    with aws_delete("delete the security group", ident):
        aws.client("ec2", region).delete_security_group(GroupId=ident)


# watching


def state(aws: Aws, region: str | None, instance_id: str) -> InstanceState:
    """The instance and its status checks, as they are now; NOT_FOUND."""
    ec2, data = aws.client("ec2", region), describe_instance(aws, region, instance_id)
    with aws_call("read the status checks", instance_id):
        statuses = ec2.describe_instance_status(InstanceIds=[instance_id], IncludeAllInstances=True)["InstanceStatuses"]
    status: dict[str, Any] = statuses[0] if statuses else {}
    return InstanceState(
        instance_id,
        str(data["State"]["Name"]),
        str((data.get("StateReason") or {}).get("Message") or ""),
        str((status.get("SystemStatus") or {}).get("Status") or ""),
        str((status.get("InstanceStatus") or {}).get("Status") or ""),
        str(data.get("InstanceType") or ""),
        str(data.get("ImageId") or ""),
        str(data.get("PrivateIpAddress") or ""),
        str(data.get("PublicIpAddress") or ""),
    )


def wait_for_checks(
    aws: Aws,
    region: str | None,
    instance_id: str,
    *,
    check: Check = nothing,
    on_state: Callable[[InstanceState], None] = lambda state: None,
    seconds: float = 900.0,
) -> InstanceState:
    """Waits until the status checks have a verdict, the instance has ended, or ``seconds`` have passed.

    Whether it passed is in `InstanceState.healthy`.
    """
    poll = Poll(FIRST_LOOK, LONGEST_LOOK, seconds=seconds, check=check)
    while True:
        seen = state(aws, region, instance_id)
        on_state(seen)
        if seen.settled or not poll.wait():
            return seen


def console_output(aws: Aws, region: str | None, instance_id: str) -> str:
    """The guest's serial console output (untrusted text); empty when AWS has none yet.

    Nitro instances give the latest output; others what was there some minutes after the start.
    """
    ec2 = aws.client("ec2", region)
    try:
        with aws_call("read the console output", instance_id):
            return str(ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output") or "")
    except ServiceError as error:
        if not error.problem.code.startswith(("Unsupported", "InvalidParameter")):
            raise
    with aws_call("read the console output", instance_id):
        return str(ec2.get_console_output(InstanceId=instance_id).get("Output") or "")


def screenshot(aws: Aws, region: str | None, instance_id: str) -> bytes:
    """A JPEG of the console, with the display woken up first; ServiceError REFUSED or CONFLICT if unavailable."""
    try:
        with aws_call("take a screenshot of the console", instance_id):
            answer = aws.client("ec2", region).get_console_screenshot(InstanceId=instance_id, WakeUp=True)
    except ServiceError as error:
        raise _no_screenshot(error) from error
    return base64.b64decode(answer.get("ImageData") or "")


def _no_screenshot(error: ServiceError) -> ServiceError:
    told = error.problem
    if told.code.startswith("Unsupported"):
        kind, why = ErrorKind.REFUSED, "AWS has none of bare metal and Graviton (arm64) types: read the console output"
    elif told.code == "IncorrectInstanceState":
        kind, why = ErrorKind.CONFLICT, "There is one of a running instance only: wait, or read the console output"
    else:
        return error
    return ServiceError(
        kind, told.what, subject=told.subject, remedy=why, code=told.code, detail=told.detail, retry_safe=False
    )


def terminate(aws: Aws, region: str | None, instance_id: str) -> None:
    """Terminates a test instance, waits for it, and deletes the security group made for it. Safe to repeat."""
    data, poll = describe_instance(aws, region, instance_id), Poll(FIRST_LOOK, LONGEST_LOOK)
    token = str(data.get("ClientToken") or "")
    with aws_call("terminate the instance", instance_id):
        aws.client("ec2", region).terminate_instances(InstanceIds=[instance_id])
    while str(describe_instance(aws, region, instance_id)["State"]["Name"]) != "terminated":
        poll.wait()
    for group in _groups(aws, region, GROUP + token) if token else ():
        _delete_group(aws, region, str(group["GroupId"]))


def stop_instance(aws: Aws, region: str | None, instance_id: str, *, check: Check = nothing) -> str:
    """Stops an instance and waits: ``stopped``, or ``terminated`` when it no longer exists. Safe to repeat.

    Raises ServiceError: NOT_FOUND, CONFLICT when it still runs after `STOP_SECONDS`, and whatever ``check`` raises.
    """
    poll, asked = Poll(FIRST_LOOK, LONGEST_LOOK, seconds=STOP_SECONDS, check=check), False
    while True:
        now = str(describe_instance(aws, region, instance_id)["State"]["Name"])
        if now == "stopped":
            return now
        if now in GONE:
            return "terminated"
        if now == "running" and not asked:  # one that still starts cannot be stopped yet
            with aws_call("stop the instance", instance_id):
                aws.client("ec2", region).stop_instances(InstanceIds=[instance_id])
            asked = True
            continue
        if not poll.wait():
            raise ServiceError(
                ErrorKind.CONFLICT,
                f"the instance is still {now} after {STOP_SECONDS / 60:.0f} minutes",
                subject=instance_id,
                remedy="See what its guest is doing, stop it in the EC2 console with force, then try again",
                retry_safe=True,
            )
