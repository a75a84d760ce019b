"""The look before the upload: what AWS would refuse stops the job, everything else is said and goes on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from vmie_tui.jobs.imports import inspect_guest
from vmie_tui.jobs.imports.inspect_guest import inspect_disks
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.guest import NotInspected
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.replication import ReplicationPlan
from vmie_tui.model.rules.override import CONTENT

MACHINE = Machine("vm-1", "web-01")
DUAL = Finding(Severity.BLOCKER, "it has 2 systems", prevents="ClientError: Multiple directories", remedy="Leave one")
NO_SSHD = Finding(Severity.BLOCKER, "no SSH server", remedy="Install one")
FSTAB = Finding(Severity.WARNING, "fstab names devices", "/etc/fstab")


class Context(SimpleNamespace):
    def __init__(self, *override: str) -> None:
        plan = ImportPlan("p", VmSource("vc", "vm-1", "web-01"), "eu-west-1", "bucket", override=override)
        super().__init__(plan=plan, vsphere=object(), said=[])

    def say(self, text: str, **_: Any) -> None:
        self.said.append(text)


def disks_hold(monkeypatch: pytest.MonkeyPatch, *content: Finding, missed: tuple[NotInspected, ...] = ()) -> None:
    seen = Preflight("web-01", content, missed, MACHINE, content=content)
    monkeypatch.setattr(inspect_guest, "preflight_frozen", lambda vsphere, machine: seen)


def test_refuses_what_aws_would_refuse_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    disks_hold(monkeypatch, DUAL, FSTAB)
    context: Any = Context()
    with pytest.raises(ServiceError) as raised:
        inspect_disks(context, MACHINE)
    problem = raised.value.problem
    assert problem.kind is ErrorKind.REFUSED
    assert (problem.what, problem.subject) == ("it has 2 systems", "web-01")
    assert DUAL.prevents in problem.detail
    assert "Leave one" in problem.remedy
    assert context.said[1:] == ["/etc/fstab: fstab names devices"]


def test_says_how_each_kind_of_job_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    disks_hold(monkeypatch, replace(DUAL, subject="web-01"))
    context: Any = Context()
    with pytest.raises(ServiceError) as raised:
        inspect_disks(context, MACHINE)
    assert "vmie-tui import --force-name" in raised.value.problem.remedy
    assert str(raised.value).startswith("web-01: it has 2 systems"), "its name once"
    context.plan = ReplicationPlan("p", VmSource("vc", "vm-1", "web-01"), "eu-west-1", "")
    with pytest.raises(ServiceError) as raised:
        inspect_disks(context, MACHINE)
    assert "vmie-tui replicate create --force-name web-01" in raised.value.problem.remedy
    assert "import" not in raised.value.problem.remedy


def test_goes_on_with_the_rest_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    disks_hold(monkeypatch, NO_SSHD, missed=(NotInspected("disk 2", "it lies on vSAN"),))
    context: Any = Context()
    inspect_disks(context, MACHINE)
    assert context.said[1:] == ["not inspected: disk 2 (it lies on vSAN)", "no SSH server. Install one"]


@pytest.mark.parametrize(
    ("override", "said"),
    [(DUAL.headline, ["looking into the disks", "it has 2 systems. Leave one"]), (CONTENT, [])],
    ids=["one finding", "everything inside"],
)
def test_lets_pass_what_is_overridden(monkeypatch: pytest.MonkeyPatch, override: str, said: list[str]) -> None:
    disks_hold(monkeypatch, DUAL)
    context: Any = Context(override)
    inspect_disks(context, MACHINE)
    assert context.said == said


def test_another_override_lets_nothing_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    disks_hold(monkeypatch, DUAL)
    context: Any = Context(NO_SSHD.headline)
    with pytest.raises(ServiceError, match="it has 2 systems"):
        inspect_disks(context, MACHINE)


def test_a_look_that_fails_does_not_fail_the_job_unless_a_login_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: ErrorKind) -> None:
        def look(vsphere: object, machine: Machine) -> Preflight:
            raise ServiceError(kind, "no")

        monkeypatch.setattr(inspect_guest, "preflight_frozen", look)

    context: Any = Context()
    refuse(ErrorKind.TLS)
    inspect_disks(context, MACHINE)
    assert context.said[-1].startswith("the disks could not be looked into: no")
    refuse(ErrorKind.LOGIN)
    with pytest.raises(ServiceError):
        inspect_disks(context, MACHINE)
