"""A verdict says no more than was looked at: in the model, in lists, and by exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kits.fleet_machines import company_machines
from vmie_tui.cli import main
from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.import_.preflight import report
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.guest import GuestFacts, LinuxFacts, NotInspected
from vmie_tui.model.machine import Disk, Inventory, Machine, VCenterInfo
from vmie_tui.model.preflight import DiskLook, Preflight, markdown
from vmie_tui.model.verdict import MEANINGS, Look, State, Verdict, judge
from vmie_tui.services.image_sources import describe_file
from vmie_tui.simulators.fleet import guests
from vmie_tui.widgets.machine_detail import machine_lines
from vmie_tui.widgets.machines import MachineRow, machine_row, select
from vmie_tui.widgets.report import report_lines

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741
MACHINE = Machine("vm-1", "web", disks=(Disk(1, "Hard disk 1", 1 << 30), Disk(2, "Hard disk 2", 1 << 30)))
LINUX = GuestFacts(linux=LinuxFacts("disk 1 partition 1"))
ALL_UNREAD = NotInspected("the content of its disks", "it lies on vSAN", disk=True)
ONE_UNREAD = NotInspected("Hard disk 2", "it lies on vSAN", disk=True)
FILES_UNREAD = NotInspected("the files on disk 1 partition 1", "jfs is not read")
DETAIL = NotInspected("free space", "the cluster bitmap could not be read")
TWO = (DiskLook("a", "raw", 1), DiskLook("b", "raw", 1))


@pytest.mark.parametrize(
    ("findings", "look", "text"),
    [
        ((), Look.NONE, "? not looked"),
        ((), Look.PART, "? partly"),
        ((), Look.ALL, "✔ ready"),
        ((Finding(I, "a remark"),), Look.NONE, "? not looked"),
        ((Finding(I, "a remark"),), Look.ALL, "✔ ready"),
        ((Finding(W, "one"), Finding(W, "two")), Look.NONE, "▲ 2 warnings"),
        ((Finding(W, "one"),), Look.ALL, "▲ 1 warning"),
        ((Finding(B, "one"), Finding(W, "two")), Look.NONE, "✖ 1 blocker"),
    ],
)
def test_the_words(findings: tuple[Finding, ...], look: Look, text: str) -> None:
    assert judge(findings, look).text == text


def test_worse_is_higher_and_every_state_is_explained() -> None:
    ranks = [Verdict(state, 5).rank for state in State]
    assert ranks == sorted(ranks, reverse=True) and len(set(ranks)) == len(ranks)
    assert Verdict(State.WARNINGS, 999).rank < Verdict(State.BLOCKED, 1).rank
    assert set(MEANINGS) == set(State)


@pytest.mark.parametrize(
    ("guest", "missed", "disks", "look", "state"),
    [
        (None, (ALL_UNREAD,), (), Look.NONE, "not-looked"),
        (LINUX, (), TWO, Look.ALL, "ready"),
        (LINUX, (DETAIL,), TWO, Look.ALL, "ready"),  # said beside the verdict
        (LINUX, (ONE_UNREAD,), TWO[:1], Look.PART, "partly-looked"),
        (GuestFacts(), (FILES_UNREAD,), TWO[:1], Look.NONE, "not-looked"),  # the system may be just there
        (GuestFacts(), (FILES_UNREAD,), TWO, Look.PART, "partly-looked"),
        (GuestFacts(), (), TWO[:1], Look.ALL, "ready"),  # a data disk, read
    ],
)
def test_how_much_was_looked_at(
    guest: GuestFacts | None, missed: tuple[NotInspected, ...], disks: tuple[DiskLook, ...], look: Look, state: str
) -> None:
    seen = Preflight("web", (), missed, MACHINE, guest, disks=disks)
    assert (seen.look, seen.verdict) == (look, state)
    told = seen.to_json()
    assert (told["verdict"], told["looked"]) == (state, look.value)
    shown = "".join(text for line in report_lines(seen, 100) for text, _ in line)
    pages = (markdown(seen), shown, "\n".join(report(seen)))
    for page in pages:
        assert ("stands in the way" in page or ": ready" in page) is (look is Look.ALL), page
    assert ("✔" in shown) is (look is Look.ALL)
    blocked = replace(seen, findings=(Finding(B, "it is suspended"),))
    assert blocked.verdict == "blocked"


def rows() -> list[MachineRow]:
    blocker, warning = Finding(B, "is RDM"), Finding(W, "two NICs")
    made = {
        "unseen": machine_row(Machine("1", "unseen"), ()),
        "half": machine_row(Machine("2", "half"), (), Look.PART),
        "good": machine_row(Machine("3", "good"), (), Look.ALL),
        "warned": machine_row(Machine("4", "warned"), (warning,)),
        "looked-warned": machine_row(Machine("5", "seen-warned"), (warning,), Look.ALL),
        "bad": machine_row(Machine("6", "bad"), (blocker,)),
    }
    return list(made.values())


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("ready", {"good"}),
        ("!ready", {"unseen", "half", "warned", "seen-warned", "bad"}),
        ("?", {"unseen", "half"}),
        ("looked", {"good", "seen-warned"}),
        ("!looked", {"unseen", "half", "warned", "bad"}),
        ("warning looked", {"seen-warned"}),
        ("blocker", {"bad"}),
        ("!blocker !warnings !?", {"good"}),
        ("not looked", {"unseen", "half", "warned", "bad"}),
        ("inspected !warning", {"good"}),
    ],
)
def test_the_filter(words: str, names: set[str]) -> None:
    assert {row.machine.name for row in select(rows(), words=words)} == names


def test_the_sort_has_what_was_not_looked_at_between_warnings_and_ready() -> None:
    found = [row.machine.name for row in select(rows(), sort="verdict", reverse=True)]
    assert found[0] == "bad" and found[3:] == ["unseen", "half", "good"]


@pytest.mark.parametrize("look", list(Look))
def test_the_detail_says_how_much_was_read(look: Look) -> None:
    text = " ".join(word for line in machine_lines(machine_row(MACHINE, (), look), 100) for word, _ in line)
    assert ("✔" in text) is (look is Look.ALL)
    assert ("not looked into" in text) is (look is Look.NONE)


def test_no_machine_of_the_demo_is_ready_before_a_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert all(
        machine_row(machine, inventory_command.check_machine(machine)).judged.state is not State.READY
        for machine in company_machines().values()
    )
    two = tuple(company_machines()[name] for name in ("web-01", "cluster-sql-01"))
    found = Inventory(VCenterInfo(host="vcenter.corp"), datetime.now(UTC), two)
    monkeypatch.setattr(inventory_command, "read", lambda settings: found)
    assert main(["inventory"]) == 0
    text = capsys.readouterr().out
    assert "VERDICT" in text and "? not looked" in text and "✖ 1 blocker" in text and "ready" not in text
    assert main(["inventory", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["machines"]
    assert [one["verdict"] for one in told] == ["not-looked", "blocked"]


def test_an_image_whose_only_file_system_cannot_be_read_is_not_ready(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "disk.raw"
    guests.restore("data-xfs", path)
    with path.open("r+b") as file:
        file.seek(216)
        file.write(b"\xff" * 4)  # features that nobody knows
    seen = describe_file([path]).preflight
    assert seen is not None
    assert not seen.blockers and seen.not_inspected
    assert seen.look is Look.NONE
    assert main(["preflight", str(path)]) == 2
    assert ": its disks were not looked into" in capsys.readouterr().out
