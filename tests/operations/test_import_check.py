"""A plan judged before an import: by what its disks have shown, and by a look at the account that may take too long."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from vmie_tui.commands.import_ import output
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.guest import GuestFacts, Presence
from vmie_tui.model.machine import Disk, Firmware, Machine
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.rules.account import Account
from vmie_tui.operations import connections
from vmie_tui.operations.import_check import weigh
from vmie_tui.settings import AwsSettings, Profile

PLAN = ImportPlan("p", VmSource("vc", "vm-1", "web"), "eu-west-1", "some-bucket")
PROFILE = Profile("p", None, AwsSettings(region="eu-west-1", bucket="some-bucket"))


class Session:
    def close(self) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ImportPlan]:
    """The plans an AWS that answers was asked about."""
    plans: list[ImportPlan] = []

    def look(aws: Session, plan: ImportPlan) -> Account:
        plans.append(plan)
        return Account(root=True) if plan.region == "eu-west-1" else Account(region_enabled=False)

    monkeypatch.setattr(connections, "open_session", lambda settings, **_: Session())
    monkeypatch.setattr(output, "look_at_account", look)
    return plans


def test_a_target_is_looked_at_once(asked: list[ImportPlan]) -> None:
    other = replace(PLAN, source=VmSource("vc", "vm-2", "db"))
    far = replace(PLAN, region="us-east-1")
    found = output.look_at_accounts(PROFILE, [PLAN, other, far])
    assert [[finding.fact for finding in each] for each in found] == [["trap 34"], ["trap 34"], ["F090"]]
    assert asked == [PLAN, far]


def test_an_aws_that_says_nothing_is_waited_for_a_while(
    asked: list[ImportPlan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = threading.Event()

    def never(aws: Session, plan: ImportPlan) -> Account:
        gate.wait(20)
        return Account()

    monkeypatch.setattr(output, "look_at_account", never)
    monkeypatch.setattr(output, "PATIENCE", 0.05)
    assert output.look_at_accounts(PROFILE, [PLAN]) == ((),)
    gate.set()
    assert "the account could not be looked at: eu-west-1: AWS has not answered" in capsys.readouterr().err


def test_without_credentials_it_says_why(
    asked: list[ImportPlan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(settings: AwsSettings, **_: object) -> Session:
        raise ServiceError(ErrorKind.LOGIN, "there are no AWS credentials", remedy="Sign in")

    monkeypatch.setattr(connections, "open_session", none)
    assert output.look_at_accounts(PROFILE, [PLAN]) == ((),)
    assert "could not be looked at: there are no AWS credentials. Sign in" in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(("loader", "advised"), [(Presence.PRESENT, False), (Presence.UNKNOWN, True)])
def test_a_plan_gives_no_advice_to_check_for_a_loader_that_was_seen(loader: Presence, advised: bool) -> None:
    disks = (Disk(1, "d", 1 << 30),)
    machine = Machine("vm-1", "web", guest_id="debian12_64Guest", firmware=Firmware.UEFI, disks=disks)
    plan = ImportPlan("p", VmSource("vc", "vm-1", "web"), "eu-west-1", "some-bucket")
    advice = [finding.rule for finding in weigh(plan, machine).found].count("efi-loader")
    seen = Preflight("web", (), machine=machine, guest=GuestFacts(loader=loader))
    judged = weigh(plan, machine, preflight=seen)
    assert advice == 1
    assert ("efi-loader" in {finding.rule for finding in judged.found}) is advised
