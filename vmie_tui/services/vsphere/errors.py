"""Translates errors of vSphere, the network and parsers to `ServiceError` with a remedy."""

from __future__ import annotations

import http.client
import re
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.parsers.expat import ExpatError

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.sdk import vmodl
from vmie_tui.services.vsphere.tls import NotVCenterError, unreachable


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: ErrorKind
    what: str
    remedy: str = ""
    retry_safe: bool = False


_K = ErrorKind
# By the fault's name; a fault without a rule takes that of its nearest ancestor.
_RULES: dict[str, _Rule] = {
    "InvalidLogin": _Rule(
        _K.LOGIN,
        "vCenter refused the user name or the password",
        "Check both; the user name usually ends in a domain such as @vsphere.local",
    ),
    "PasswordExpired": _Rule(
        _K.LOGIN, "the password has expired", "Change it in the vSphere Client, then log in again"
    ),
    "NotAuthenticated": _Rule(_K.LOGIN, "the vCenter session has expired", "Log in again"),
    "NoPermission": _Rule(_K.PERMISSION, "the vCenter user may not do this"),
    "RestrictedByAdministrator": _Rule(_K.PERMISSION, "an administrator has forbidden this operation"),
    "RestrictedVersion": _Rule(
        _K.REFUSED,
        "the licence of this vCenter or host does not allow this operation",
        "A free ESXi licence exports nothing by the API: assign an evaluation or paid one, or export the machine in "
        "the host's own web client and import the OVF",
    ),
    "ManagedObjectNotFound": _Rule(
        _K.NOT_FOUND, "vCenter no longer has this object", "It may have been deleted or re-registered: reload the list"
    ),
    "NotFound": _Rule(_K.NOT_FOUND, "vCenter did not find it", "Reload the inventory"),
    "FileNotFound": _Rule(_K.NOT_FOUND, "a file of the virtual machine is missing on its datastore"),
    "FileLocked": _Rule(
        _K.CONFLICT,
        "a file of the virtual machine is locked",
        "See whether a backup or another export is running",
        True,
    ),
    "FileFault": _Rule(_K.REMOTE, "a file of the virtual machine cannot be used"),
    "InvalidPowerState": _Rule(_K.CONFLICT, "the virtual machine's power state does not allow this"),
    "InvalidState": _Rule(_K.CONFLICT, "the object's state does not allow this operation", "Wait for other tasks"),
    "TaskInProgress": _Rule(
        _K.CONFLICT, "another task is running on this object", "Wait for it to end, then try again", True
    ),
    "ConcurrentAccess": _Rule(_K.CONFLICT, "somebody else changed the object at the same time", "Try again", True),
    "ApplicationQuiesceFault": _Rule(_K.CONFLICT, "the guest could not be quiesced", "Take the snapshot without it"),
    "ToolsUnavailable": _Rule(_K.CONFLICT, "VMware Tools are not running in the guest"),
    "SnapshotFault": _Rule(_K.CONFLICT, "the snapshot failed"),
    "SnapshotLocked": _Rule(_K.CONFLICT, "a snapshot of this virtual machine is in use", "Try again later", True),
    "TooManySnapshotLevels": _Rule(_K.CONFLICT, "the virtual machine has too many snapshots", "Remove some first"),
    "InsufficientStorageSpace": _Rule(_K.REMOTE, "the datastore is full", "Free space on it"),
    "NoDiskSpace": _Rule(_K.REMOTE, "the datastore is full", "Free space on it"),
    "DeviceNotFound": _Rule(_K.NOT_FOUND, "the virtual machine has no such device"),
    "HostNotConnected": _Rule(_K.REMOTE, "the ESXi host is not connected to vCenter", "Reconnect the host", True),
    "HostCommunication": _Rule(_K.REMOTE, "vCenter cannot reach the ESXi host", "Look at the host", True),
    "HostNotReachable": _Rule(_K.REMOTE, "vCenter cannot reach the ESXi host", "Look at the host", True),
    "HostConnectFault": _Rule(_K.REMOTE, "vCenter cannot connect to the ESXi host", "Look at the host", True),
    "Timedout": _Rule(_K.REMOTE, "the operation took too long in vCenter", "Try again", True),
    "RequestCanceled": _Rule(_K.CANCELLED, "the task was cancelled in vCenter"),
    "OutOfBounds": _Rule(_K.REMOTE, "a limit of vCenter was reached", "Close unused vSphere sessions"),
    "InvalidArgument": _Rule(_K.INVALID, "vCenter refused an argument"),
    "InvalidName": _Rule(_K.INVALID, "vCenter refused the name"),
    "InvalidProperty": _Rule(_K.REMOTE, "this vCenter does not know a property that was asked for"),
    "MethodNotFound": _Rule(_K.REMOTE, "this vCenter does not know the operation"),
    "NotSupported": _Rule(_K.REFUSED, "the operation is not supported for this object"),
    "SystemError": _Rule(_K.REMOTE, "vCenter reported a general system error", "Look at vCenter's log", True),
}
_GENERAL = _Rule(_K.REMOTE, "vCenter reported a fault")


def fault_name(fault: object) -> str:
    """``NoPermission`` of ``vim.fault.NoPermission``."""
    return type(fault).__name__.rpartition(".")[2]


def from_fault(fault: BaseException, *, subject: str = "", doing: str = "") -> ServiceError:
    """A vim or vmodl fault as ServiceError; the fault's own text is kept as ``detail``."""
    rule = next((_RULES[name] for name in _ancestry(fault) if name in _RULES), _GENERAL)
    return _build(rule, fault_name(fault), fault, subject=subject, doing=doing)


def from_fault_name(name: str, *, doing: str = "") -> ServiceError:
    """As `from_fault`, for a fault of which only the name is known (missingSet)."""
    return _build(_RULES.get(name, _GENERAL), name, None, subject="", doing=doing)


def _ancestry(fault: BaseException) -> Iterator[str]:
    for kind in type(fault).__mro__:
        yield kind.__name__.rpartition(".")[2]


def _build(rule: _Rule, name: str, fault: BaseException | None, *, subject: str, doing: str) -> ServiceError:
    remedy = rule.remedy
    privilege = getattr(fault, "privilegeId", None)
    if rule.kind is ErrorKind.PERMISSION:
        remedy = f"Give the user the privilege {privilege} on it" if privilege else "Ask for the privilege it needs"
    what = rule.what
    if name == "InvalidPowerState" and getattr(fault, "existingState", None):
        what = f"{what}: it is {fault.existingState}"  # type: ignore[union-attr]
    return ServiceError(
        rule.kind,
        f"{doing} failed: {what}" if doing else what,
        subject=subject,
        remedy=remedy,
        retry_safe=rule.retry_safe,
        code=name,
        detail=_text(fault).strip().rstrip("."),
    )


def _text(fault: BaseException | None) -> str:
    """The words of a fault: its message, else those of its faultMessage list."""
    if fault is None:
        return ""
    message = getattr(fault, "msg", None)
    if not message:
        message = "; ".join(str(part.message) for part in getattr(fault, "faultMessage", None) or () if part.message)
    prop = getattr(fault, "invalidProperty", None) or getattr(fault, "name", None)
    words = [str(message)] if message else []
    if prop and str(prop) not in str(message or ""):
        words.append(str(prop))
    return ": ".join(words)


def translate(error: BaseException, *, host: str, port: int, subject: str = "", doing: str = "") -> ServiceError | None:
    """The ServiceError for an error of pyVmomi, a socket or a parser; None for a bug of ours."""
    if isinstance(error, ServiceError):
        return error.about(subject) if subject else error
    if isinstance(error, vmodl.MethodFault):
        return from_fault(error, subject=subject, doing=doing)
    if isinstance(error, (OSError, ssl.SSLError)):
        return unreachable(error, host, port)
    if isinstance(error, http.client.HTTPException):
        return _strange_answer(error, host, port)
    if isinstance(error, (ExpatError, ET.ParseError)):
        return ServiceError(
            ErrorKind.REMOTE,
            "vCenter's answer could not be read",
            subject=f"{host}:{port}",
            remedy="Try again",
            retry_safe=True,
            code=type(error).__name__,
            detail=str(error),
        )
    return None


_STATUS = re.compile(r"([1-5]\d\d)\b")


def _strange_answer(error: http.client.HTTPException, host: str, port: int) -> ServiceError:
    """The error for an HTTP response that vCenter would not send."""
    found = _STATUS.match(str(error))
    status = int(found[1]) if found else 0
    kind, retry_safe = ErrorKind.NETWORK, True
    if status == 503:
        kind, what = ErrorKind.REMOTE, "vCenter's services are not up yet, or take no more sessions"
        remedy = "Wait some minutes while it starts, then try again; its services are listed on port 5480"
    elif isinstance(error, NotVCenterError) or 300 <= status < 500:
        kind, what, retry_safe = ErrorKind.INVALID, "what answers there is no vCenter", False
        remedy = "Check host and port; a proxy's or portal's sign-in page may stand between"
    else:
        what, remedy = "the answer was not one of a vCenter", "Check host and port; a proxy may stand between"
    return ServiceError(
        kind,
        what,
        subject=f"{host}:{port}",
        remedy=remedy,
        retry_safe=retry_safe,
        code=str(status) if status else type(error).__name__,
        detail=str(error),
    )


@contextmanager
def calling(host: str, port: int, *, subject: str = "", doing: str = "") -> Iterator[None]:
    """Translates whatever vSphere, the network or a parser raises in the block to ServiceError."""
    try:
        yield
    except Exception as error:
        found = translate(error, host=host, port=port, subject=subject, doing=doing)
        if found is None or found is error:
            raise
        raise found from error
