"""Faults in words."""

from __future__ import annotations

import socket

import pytest
from pyVmomi import vim, vmodl

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.errors import calling, from_fault


def test_a_missing_privilege_is_named() -> None:
    error = from_fault(
        vim.fault.NoPermission(privilegeId="VApp.Export", msg="Permission to perform this operation was denied."),
        subject="web-01",
        doing="starting the export",
    )
    assert error.kind is ErrorKind.PERMISSION
    assert "privilege VApp.Export" in error.problem.remedy
    assert str(error).startswith("web-01: starting the export failed: the vCenter user may not do this")


def test_a_fault_without_a_rule_takes_its_ancestors() -> None:
    error = from_fault(vim.fault.SnapshotIncompatibleDeviceInVm(msg="Not with this device."))
    assert (error.kind, error.problem.code) == (ErrorKind.CONFLICT, "SnapshotIncompatibleDeviceInVm")
    assert error.problem.what == "the snapshot failed"


def test_an_unknown_fault_keeps_its_text() -> None:
    error = from_fault(vim.fault.LicenseExpired(msg="Your licence is over."))
    assert error.kind is ErrorKind.REMOTE
    assert "Your licence is over" in str(error)


def test_an_expired_session_is_a_login_though_it_derives_from_no_permission() -> None:
    assert from_fault(vim.fault.NotAuthenticated(privilegeId="System.View")).kind is ErrorKind.LOGIN


def test_power_state_is_told() -> None:
    fault = vim.fault.InvalidPowerState(existingState="poweredOn", requestedState="poweredOff")
    assert "it is poweredOn" in str(from_fault(fault))


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), ErrorKind.NETWORK, "cannot be resolved"),
        (TimeoutError("timed out"), ErrorKind.NETWORK, "did not answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), ErrorKind.NETWORK, "refused"),
        (ConnectionResetError(104, "reset"), ErrorKind.NETWORK, "broke the connection off"),
        (vmodl.fault.SystemError(reason="x", msg="boom"), ErrorKind.REMOTE, "boom"),
    ],
)
def test_what_the_outside_raises_becomes_a_service_error(raised: Exception, kind: ErrorKind, words: str) -> None:
    with pytest.raises(ServiceError, match=words) as caught, calling("vc", 443):
        raise raised
    assert caught.value.kind is kind


def test_a_bug_of_our_own_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError), calling("vc", 443):
        raise ZeroDivisionError
