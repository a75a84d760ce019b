"""Regions: the list, those enabled in an account, and faults of a whole Region."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Set
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends

from vmie_tui.model import facts
from vmie_tui.simulators.aws import auth
from vmie_tui.simulators.aws.moto_extensions import Operation, refuse
from vmie_tui.simulators.aws.wire import ApiError, Disconnect, Request
from vmie_tui.simulators.control import Fault

LOOK_SECONDS = 0.2


def check_enabled(disabled: Set[str], request: Request) -> None:
    """Refuse a call to a Region that the account has not enabled, as its endpoint does: it knows no such key."""
    if request.region in disabled:
        raise not_enabled(request)


def not_enabled(request: Request) -> ApiError:
    """What a Region says to the key of an account that has not enabled it."""
    return auth.unknown_key(request.service, request.scope.access_key if request.scope else "")


def trouble(request: Request, fault: Fault, connection: socket.socket, closing: threading.Event) -> None:
    """Applies a Region's fault: deny, disabled, throttle or timeout; raises ApiError or Disconnect."""
    match fault.action:
        case "deny":
            raise denied(request, fault.message)
        case "disabled":
            raise not_enabled(request)
        case "timeout":
            never(closing, lambda: _gone(connection))
            raise Disconnect
        case _:
            raise throttled(request.service, fault.message)


def never(closing: threading.Event, gone: Callable[[], bool]) -> None:
    """Waits until the client gives up, or the simulator stops."""
    while not closing.wait(LOOK_SECONDS) and not gone():
        pass


def _gone(connection: socket.socket) -> bool:
    """Whether the client closed the connection: after its request it has nothing else to send."""
    try:
        return bool(select.select([connection], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def denied(request: Request, message: str = "") -> ApiError:
    """Each service's error for a request that a policy denies."""
    what = f"{request.service}:{request.operation}"
    who = f"User: arn:aws:iam::simulated:user/engineer is not authorized to perform: {what}"
    if request.service == "s3":
        return ApiError("AccessDenied", message or "Access Denied", 403)
    if request.service == "ec2":
        text = "You are not authorized to perform this operation."
        policy = " with an explicit deny in a service control policy"
        return ApiError("UnauthorizedOperation", message or f"{text} {who}{policy}", 403)
    code = "AccessDenied" if request.service in {"iam", "sts"} else "AccessDeniedException"
    return ApiError(code, message or who, 403)


def throttled(service: str, message: str = "") -> ApiError:
    """Each service's throttling error."""
    if service == "s3":
        return ApiError("SlowDown", message or "Please reduce your request rate.", 503)
    if service == "ebs":
        return ApiError("RequestThrottledException", message or "The request was throttled.", 400)
    return ApiError("RequestLimitExceeded", message or "Request limit exceeded.", 503)


def describe_regions(response: Any, simulator: Any) -> ActionResult:
    """The Regions of the partition; without AllRegions only those enabled in the account."""
    response.error_on_dryrun()
    everywhere = str(response._get_param("AllRegions") or "").lower() == "true"
    wanted = set(response._get_param("RegionNames") or ())
    default = set(facts.load("regions")["defaults"]["enabled"])
    known = sorted(name for name in _names() if not name.startswith(("cn-", "us-gov-", "us-iso")))
    for name in wanted - set(known):
        raise refuse("InvalidParameterValue", f"Invalid region: {name}")
    found = []
    for name in known:
        status = "opt-in-not-required" if name in default else "opted-in"
        if name in simulator.disabled:
            status = "not-opted-in"
        if (name in wanted or not wanted) and (everywhere or wanted or status != "not-opted-in"):
            found.append({"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": status})
    filters = response._filters_from_querystring()
    statuses = filters.get("opt-in-status")
    return ActionResult({"Regions": [item for item in found if not statuses or item["OptInStatus"] in statuses]})


def _names() -> list[str]:
    account = next(iter(ec2_backends.values()))
    return [str(name) for name in account.regions]


def get_ebs_default_kms_key_id(response: Any, simulator: Any) -> ActionResult:
    """The Region's key for encryption of EBS by default; moto can set it and not tell it."""
    response.error_on_dryrun()
    return ActionResult({"KmsKeyId": response.ec2_backend.default_kms_key_id or "alias/aws/ebs"})


OPERATIONS: tuple[Operation, ...] = (describe_regions, get_ebs_default_kms_key_id)
