"""The form of a replication, the catalogue and the run beside the schedule, on operations of model values."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Button, Input

from tests.kits.driving import press, running, screen_text, settle, toasts, until
from tests.kits.fake_backend import FSTAB, FakeOperations, company, guest_facts, preflight_of
from tests.kits.fake_backend import NOW as FIRST
from tests.kits.fake_replications import (
    DAY,
    HOUR,
    NOTE,
    NOW,
    RDM,
    WARNED,
    FakeReplicas,
    catalogue_of,
    replica,
    run_of,
    some_replicas,
)
from vmie_tui.commands.replicate.create import create, draft_of
from vmie_tui.commands.replicate.edit import edit, edited
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.form_option import Option
from vmie_tui.model.guest import Presence
from vmie_tui.model.machine import Inventory, Machine, VCenterInfo
from vmie_tui.model.plan import LicenseType, Route, Via
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.replication import CatalogueStatus, ReplicationView, RunState, RunType, Sync, Verify
from vmie_tui.model.rules.replication import settled
from vmie_tui.model.rules.replication_schedule import parse_start
from vmie_tui.operations.replication_plan import ONCE, REPEAT, ReplicationDraft, edit_draft, new_draft
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.theme import ThemedApp
from vmie_tui.screens.replication.catalogue import CatalogueScreen
from vmie_tui.screens.replication.form import ReplicationForm
from vmie_tui.screens.replication.form_fields import command
from vmie_tui.screens.replication.run_now import RunNow
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.line_view import LinePane, OneLine

MACHINES = {machine.name: machine for machine in company()}


def operations_of(views: list[ReplicationView] | None = None) -> FakeOperations:
    operations = FakeOperations()
    operations.replications = FakeReplicas(views)
    return operations


def on_vsan(machine: Machine) -> Machine:
    return replace(machine, disks=tuple(replace(disk, datastore_type="vsan") for disk in machine.disks))


async def form(pilot: Pilot[int], *names: str, edit: ReplicationView | None = None) -> ReplicationForm:
    return await opened(pilot, [MACHINES[name] for name in names], edit=edit)


async def opened(pilot: Pilot[int], machines: list[Machine], *, edit: ReplicationView | None = None) -> ReplicationForm:
    screen = ReplicationForm(machines, edit=edit)
    pilot.app.push_screen(screen)
    await settle(pilot)
    return screen


async def type_in(pilot: Pilot[int], key: str, text: str) -> None:
    field = pilot.app.screen.query_one(f"#{key}", Input)
    field.value = text
    await settle(pilot)


def below(screen: ReplicationForm) -> str:
    return " ".join(screen.query_one("#found", LinePane).plain().split())


def made(operations: FakeOperations) -> list[Any]:
    return [call[1] for call in operations.replications.asked if call[0] == "create"]


# -- a new one


async def test_one_machine_with_what_the_form_presets() -> None:
    operations = operations_of()
    operations.profile = replace(operations.profile, tags="team=ops")
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01")
        assert "2026-03-04 10:41 +0000, now" in screen_text(pilot) and "comes to BYOL" in screen_text(pilot)
        await type_in(pilot, "every", "8")
        await type_in(pilot, "start", "2026-03-05T06:00+02:00")
        assert "2026-03-05 04:00 +0000, in 17 h 18 min" in screen_text(pilot)
        await press(pilot, "ctrl+s")
        assert not isinstance(pilot.app.screen, ReplicationForm)
        [spec] = made(operations)
        assert (spec.every_hours, spec.keep, spec.verify, spec.group) == (8, 0, Verify.SAMPLE, "")
        assert spec.start == parse_start("2026-03-05T04:00Z", NOW)
        plan = spec.plan
        assert (plan.route, plan.via, plan.license_type, plan.bucket) == (Route.IMAGE_DIRECT, Via.EBS, None, "")
        assert (plan.region, plan.role_name, plan.ami_name, plan.tags) == (
            "eu-west-1",
            "vmimport",
            "{vm}",
            {"team": "ops"},
        )
        assert (plan.vm.moid, plan.vm.instance_uuid, plan.vm.vcenter) == ("vm-1", "uuid-1", "vcenter.corp")
    assert screen.draft.names == "web-01"


@pytest.mark.parametrize("names", [("web-01",), ("web-01", "web-02")], ids=["one", "several"])
async def test_a_loader_that_a_preflight_has_seen_is_not_to_be_checked_for(names: tuple[str, ...]) -> None:
    operations = operations_of()
    advice = Finding(Severity.INFO, "needs BOOTX64.EFI", fact="F101", rule="efi-loader")
    operations.replications.found_of = {"web-01": (advice,)}
    guest = replace(guest_facts(), loader=Presence.PRESENT)
    async with running(operations) as pilot:
        screen = await form(pilot, *names)
        assert "BOOTX64.EFI" in below(screen)
        screen.host.preflights[MACHINES["web-01"].key] = Preflight("web-01", (), guest=guest)
        await press(pilot, "ctrl+r")
        assert "BOOTX64.EFI" not in below(screen)


async def test_what_a_preflight_found_counts_as_on_the_route() -> None:
    async with running(operations_of()) as pilot:
        screen = await form(pilot, "web-02")
        screen.host.preflights[MACHINES["web-02"].key] = preflight_of(MACHINES["web-02"], (), FSTAB)
        await press(pilot, "ctrl+r")
        assert "web-02 ✖ 1 blocker" in below(screen)
        screen.draft.route = Route.UNMODIFIED.value
        screen.action_look()
        await settle(pilot)
        assert "web-02 ▲ 1 warning" in below(screen)


WRONG = (
    ("every", "25", "A whole number, 1 to 24"),
    ("every", "0", "A whole number, 1 to 24"),
    ("start", "yesterday", "is no time"),
    ("start", "+31d", "is more than 30 days ahead"),
    ("start", "2026-03-04 10:00", "lies in the past"),
    ("keep", "some", "A whole number; 0 keeps all"),
    ("order", "-1", "A whole number; lower ones first"),
    ("region", "Ireland", "A Region reads like eu-west-1"),
    ("role_name", "", "Name the service role"),
    ("tags", "team", "key=value, …; not 'team'"),
    ("description", "{nope}", "{nope} stands for nothing"),
)


@pytest.mark.parametrize(("key", "text", "why"), WRONG)
def test_what_cannot_be_an_answer_says_why(key: str, text: str, why: str) -> None:
    draft = new_draft(operations_of().profile, [MACHINES["web-01"]], NOW)
    assert not draft.mistakes()
    setattr(draft, key, text)
    assert list(draft.mistakes()) == [key] and draft.mistakes()[key].startswith(why)
    assert draft.spec_for(MACHINES["web-01"]).plan.vm.name == "web-01"  # it can be judged all the same


async def test_answers_are_judged_as_they_are_typed_and_none_is_lost() -> None:
    operations = operations_of()
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01")
        go = screen.query_one("#go", Button)
        assert not go.disabled
        await type_in(pilot, "start", "+31d")
        assert "✖ is more than 30 days ahead" in screen_text(pilot)
        assert go.disabled and "The same by hand" not in below(screen)
        assert "is more than 30 days ahead (2026-04-04 10:41 +0000)" in below(screen)
        await press(pilot, "ctrl+s", "ctrl+y")
        assert "Not yet: is more than" in toasts(pilot) and "There is no such command" in toasts(pilot)
        assert not made(operations) and screen.query_one("#start", Input).value == "+31d"
        await type_in(pilot, "start", "+29d")
        assert not go.disabled and "2026-04-02 10:41 +0000" in screen_text(pilot)


async def test_blocked_machines_are_left_out_only_when_the_user_says_so() -> None:
    operations = operations_of()
    operations.replications.found_of = {"db-rdm": (RDM,), "web-01": (WARNED, NOTE), "web-02": (NOTE,)}
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01", "db-rdm", "web-02")
        text = below(screen)
        assert text.index("db-rdm ✖ 1 blocker") < text.index("web-01 ▲ 1 warning") < text.index("web-02 ? not looked")
        assert "Hard disk 2: is a raw device mapping." in text and "✖ 1 blocked" in screen_text(pilot)
        assert text.count("vMotion may move it") == 1 and "(web-01, web-02)" in text
        await press(pilot, "ctrl+s")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        words = " ".join(screen_text(pilot).replace("│", " ").split())
        assert "Leave out 1 machine?" in words and "db-rdm: is a raw device mapping." in words
        await press(pilot, "enter")  # the safe answer has the focus
        assert not made(operations)
        await press(pilot, "ctrl+s", "tab", "enter")
        assert [spec.plan.source.name for spec in made(operations)] == ["web-01", "web-02"]


async def test_nothing_starts_when_all_are_blocked_or_the_profile_is_read_only() -> None:
    operations = operations_of()
    operations.replications.found = (RDM,)
    async with running(operations) as pilot:
        await form(pilot, "db-rdm")
        await press(pilot, "ctrl+s")
        assert "db-rdm cannot be replicated so" in toasts(pilot) and not made(operations)
        operations.replications.found = ()
        operations.profile = replace(operations.profile, read_only=True)
        await press(pilot, "ctrl+r", "ctrl+s")
        assert "read-only" in toasts(pilot) and not made(operations)


async def test_what_is_refused_stays_on_the_form_and_is_tried_alone() -> None:
    operations = operations_of()
    real = operations.replications.create

    def refuse(spec: Any, machine: Machine) -> str:
        if machine.name == "web-02":
            raise ServiceError(ErrorKind.REFUSED, "50 VMs are replicated already", remedy="Delete one", code="F388")
        return real(spec, machine)

    operations.replications.create = refuse  # type: ignore[method-assign]
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01", "web-02")
        await type_in(pilot, "keep", "9")
        await press(pilot, "ctrl+s")
        assert "web-02 was not started" in below(screen) and "50 VMs are replicated already" in below(screen)
        assert "1 replication started" in toasts(pilot)
        assert screen.draft.names == "web-02" and screen.query_one("#keep", Input).value == "9"
        operations.replications.create = real  # type: ignore[method-assign]
        await press(pilot, "ctrl+s")
        assert [(spec.plan.source.name, spec.keep) for spec in made(operations)] == [("web-01", 9), ("web-02", 9)]
        assert not isinstance(pilot.app.screen, ReplicationForm)


async def test_rules_that_cannot_be_asked_are_said_and_asked_again() -> None:
    operations = operations_of()
    operations.replications.errors["findings"] = ServiceError(ErrorKind.LOCAL, "the job database cannot be read")
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01")
        assert "the job database cannot be read" in below(screen)
        await press(pilot, "ctrl+s")
        assert "the rules were not asked" in toasts(pilot) and not made(operations)
        operations.replications.errors.clear()
        await press(pilot, "ctrl+r", "ctrl+s")
        assert len(made(operations)) == 1


async def test_on_vsan_one_time_is_preset_and_an_interval_explained_as_impossible() -> None:
    operations = operations_of()
    async with running(operations) as pilot:
        screen = await opened(pilot, [on_vsan(MACHINES["web-01"])])
        assert screen.query_one("#kind", ChoiceList).value == ONCE
        assert "vSAN shows no files to read changed blocks from" in " ".join(screen_text(pilot).split())
        assert not screen.query_one("#field-every").display and not screen.query_one("#field-keep").display
        await press(pilot, "up", "space")
        assert screen.draft.kind == ONCE and "Every few hours: vSAN shows no files" in toasts(pilot)
        await press(pilot, "ctrl+s")
        [spec] = made(operations)
        assert spec.once and (spec.every_hours, spec.keep) == (0, 0)


def test_with_others_beside_it_an_interval_stays_possible_and_the_rules_name_the_one() -> None:
    draft = new_draft(operations_of().profile, [on_vsan(MACHINES["web-01"]), MACHINES["web-02"]], NOW)
    assert draft.kind == REPEAT and not draft.kind_options()[0].refused


async def test_unmodified_asks_for_what_nobody_finds_out_and_for_no_licence() -> None:
    operations = operations_of()
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01")
        assert screen.query_one("#licence").display and screen.query_one("#field-role_name").display
        assert not screen.query_one("#ena").display
        screen.query_one("#route", ChoiceList).focus()
        await press(pilot, "down", "space")
        assert not screen.query_one("#licence").display and not screen.query_one("#field-role_name").display
        screen.query_one("#ena", ChoiceList).focus()
        await press(pilot, "space")
        screen.query_one("#encrypted", ChoiceList).focus()
        await press(pilot, "space")
        await type_in(pilot, "kms_key", "alias/migration")
        await press(pilot, "ctrl+s")
        [spec] = made(operations)
        assert (spec.plan.route, spec.plan.ena, spec.plan.license_type) == (Route.UNMODIFIED, False, None)
        assert (spec.plan.encrypted, spec.plan.kms_key_id) == (True, "alias/migration")


async def test_everything_can_be_reached_and_read_at_80x24() -> None:
    async with running(operations_of()) as pilot:
        screen = await form(pilot, "web-01", "win-file-01")
        screen.query_one("#fold-ami").focus()
        await press(pilot, "space")
        screen.query_one("#fold-group").focus()
        await press(pilot, "space")
        assert "servers that are started together" in screen_text(pilot)  # what unfolds can be seen
        seen = ""
        for widget in [one for one in screen.focus_chain if isinstance(one, ChoiceList | Input)]:
            widget.focus()
            await pilot.pause()
            assert pilot.app.focused is widget
            region = widget.region
            assert 0 < region.y < 23 and region.right <= 80, widget.id
            seen += screen_text(pilot) + "\n"
        for label in ("Copies", "Every hours", "First run", "Keep AMIs", "Route", "Licence", "Verify", "Quiesce guest"):
            assert label in seen
        for label in ("Region", "Service role", "Encrypt", "AMI name", "Description", "Tags", "Group"):
            assert f" {label} " in seen
        for line in seen.splitlines():
            assert len(line) <= 80


# -- a change


async def test_an_edit_shows_what_cannot_change_and_saves_the_rest() -> None:
    views = some_replicas()
    operations = operations_of(views)
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01", edit=views[0])
        fixed = {line.id: line.plain() for line in screen.query("#fields OneLine").results(OneLine) if line.id}
        assert "Every few hours  fixed: delete it and create another" in fixed["fixed-kind"]
        assert "eu-west-1  fixed: its snapshots are there" in fixed["fixed-region"]
        assert "no  fixed by the first run" in fixed["fixed-encrypted"]
        assert not screen.query("#region") and not screen.query("#encrypted")
        assert "Next run" in screen_text(pilot) and "2026-03-04 13:51 +0000, in 3 h 10 min" in screen_text(pilot)
        assert "nothing is changed yet" in below(screen)
        await type_in(pilot, "every", "6")
        await type_in(pilot, "start", "+30m")
        assert "replicate edit sms-job-00000001 --every 6 --next-run" in below(screen)
        await press(pilot, "ctrl+s")
        [(_, ident, spec, next_run)] = [call for call in operations.replications.asked if call[0] == "edit"]
        assert (ident, spec.every_hours, next_run) == (views[0].id, 6, NOW + 1800)
        assert spec.start == views[0].spec.start and (spec.group, spec.order) == ("shop", 1)
        assert not isinstance(pilot.app.screen, ReplicationForm)


async def test_an_edit_that_is_refused_keeps_what_was_typed() -> None:
    views = some_replicas()
    operations = operations_of(views)
    operations.replications.errors["edit"] = ServiceError(
        ErrorKind.INVALID, "the next run cannot be then", remedy="Later"
    )
    operations.replications.edit = lambda *_: operations.replications._fail("edit")  # type: ignore[method-assign]
    async with running(operations) as pilot:
        screen = await form(pilot, "web-01", edit=views[0])
        await type_in(pilot, "keep", "7")
        await press(pilot, "ctrl+s")
        assert "web-01 was not saved" in below(screen) and "the next run cannot be then" in below(screen)
        assert pilot.app.screen is screen and screen.query_one("#keep", Input).value == "7"
        operations.replications.found = (RDM,)
        await press(pilot, "ctrl+r", "ctrl+s")
        assert "Nothing was saved: Hard disk 2: is a raw device mapping" in toasts(pilot)


def test_before_the_first_copy_is_complete_encryption_may_still_change() -> None:
    pending = replica(1, "web-01", run_of(1, RunState.FAILED))
    draft = edit_draft("vcenter.corp", (), pending)
    assert set(draft.fixed) == {"kind", "region"}
    draft.encrypted = True
    assert not draft.edit_findings() and draft.spec_for(None).plan.encrypted
    later = edit_draft("vcenter.corp", (), replica(1, "web-01", run_of(1)))
    later.encrypted = True
    assert "encryption cannot be changed" in later.edit_findings()[0].what


def test_an_edit_changes_nothing_that_was_not_changed() -> None:
    view = some_replicas()[0]
    plan = replace(view.spec.plan, tags={"note": "a, b"}, license_type=LicenseType.BYOL, ami_name="{vm}-{date}")
    view = replace(view, spec=replace(view.spec, plan=plan))
    draft = edit_draft("vcenter.corp", (), view)
    assert not draft.mistakes()
    assert draft.spec_for(None) == replace(view.spec, plan=replace(plan, via=Via.EBS))
    draft.tags = "note"
    assert "tags" in draft.mistakes()


# -- the same by hand


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"kind": ONCE, "start": "+2h", "licence": "BYOL", "tags": "a=1, b=two words"},
        {"route": "unmodified", "ena": False, "quiesce": False, "group": "shop", "order": "3", "verify": "all"},
        {"encrypted": True, "kms_key": "alias/k", "region": "eu-central-1", "ami_name": "{vm} {date}", "every": "1"},
    ],
    ids=["preset", "once", "unmodified", "encrypted"],
)
def test_the_command_on_the_form_makes_the_same_replication(answers: dict[str, Any]) -> None:
    machine = MACHINES["web-01"]
    profile = operations_of().profile
    draft = new_draft(profile, [machine], NOW)
    for key, value in answers.items():
        setattr(draft, key, value)
    text, why_not = command(draft)
    words = shlex.split(text)
    assert not why_not and words[:5] == ["vmie-tui", "--profile", "prod", "replicate", "create"]
    chosen = dict(create.make_context("create", words[5:]).params)
    assert chosen.pop("names") == (machine.path,)
    for name in ("forced", "dry_run", "wait", "as_json"):
        chosen.pop(name)
    by_hand, here = draft_of(profile, (machine,), NOW, **chosen).spec_for(machine), draft.spec_for(machine)
    assert replace(by_hand, plan=settled(by_hand.plan, machine)) == replace(here, plan=settled(here.plan, machine))


def test_nothing_said_is_the_same_on_the_form_and_by_command() -> None:
    """But for the interval, which a command line must say: what the profile presets, and that all AMIs stay."""
    profile = replace(operations_of().profile, ami_name="{vm}-{date}", description="", tags="team=ops, a=b")
    for name, machine in MACHINES.items():
        chosen = dict(create.make_context("create", [name, "--every", "12"]).params)
        for left_out in ("names", "forced", "dry_run", "wait", "as_json"):
            chosen.pop(left_out)
        form = new_draft(profile, [machine], NOW)
        by_hand = draft_of(profile, (machine,), NOW, **chosen)
        form.kind = by_hand.kind  # a form begins with what is possible
        assert by_hand.spec_for(machine) == form.spec_for(machine) and by_hand.spec_for(machine).keep == 0


def test_the_command_of_an_edit_names_what_changed_alone() -> None:
    view = some_replicas()[0]
    draft = edit_draft("vcenter.corp", (), view)
    assert command(draft) == ("", "nothing is changed yet")
    draft.every, draft.quiesce, draft.verify, draft.licence, draft.group = "4", False, "all", "BYOL", ""
    words = shlex.split(command(draft)[0])
    given = {k: v for k, v in edit.make_context("edit", words[5:]).params.items() if v is not None and v != ()}
    assert given.pop("ident") == view.id and given.pop("as_json") is False and given.pop("next_run", None) is None
    assert edited(view, "vcenter.corp", (), given, "").spec_for(None) == draft.spec_for(None)
    # Auto is settled by the machine, as it is when a replication is made: left to AWS, Windows Server is billed.
    auto = edited(view, "vcenter.corp", (MACHINES["web-01"],), {"license_type": "auto"}, "")
    assert auto.spec_for(None).plan.license_type is LicenseType.BYOL
    draft.route = Route.UNMODIFIED.value
    assert "cannot change this" in command(draft)[1]


# -- a run beside the schedule


async def dialog(pilot: Pilot[int], view: ReplicationView) -> RunNow:
    screen = RunNow(view)
    pilot.app.push_screen(screen)
    await settle(pilot)
    return screen


async def test_a_run_is_asked_for_as_chosen() -> None:
    views = [replica(1, "web-01", run_of(2, ago=2 * HOUR, type=RunType.ON_DEMAND), run_of(1, ago=DAY + 1))]
    operations = operations_of(views)
    async with running(operations) as pilot:
        await dialog(pilot, views[0])
        text = " ".join(screen_text(pilot).replace("│", " ").split())
        assert "On-demand runs: 1 of 2 in 24 hours are left." in text and "next run in 3 h 10 min" in text
        assert "reads all, moves blocks whose SHA-256 differs" in text
        await press(pilot, "down", "down", "space", "tab", "space", "space", "tab", "tab", "enter")
        assert ("run_now", views[0].id, Sync.CHECKSUM, Verify.ALL, None) in operations.replications.asked
        assert not isinstance(pilot.app.screen, RunNow) and "sms-run-00000384 has begun" in toasts(pilot)


async def test_ctrl_s_runs_it_unless_it_may_not_be_started() -> None:
    twice = [run_of(n, ago=n * HOUR, type=RunType.ON_DEMAND) for n in (1, 2)]
    views = [replica(1, "web-01", run_of(3)), replica(2, "db-01", *twice)]
    operations = operations_of(views)
    async with running(operations) as pilot:
        await dialog(pilot, views[0])
        await press(pilot, "down", "space", "ctrl+s")
        assert ("run_now", views[0].id, Sync.FULL, None, None) in operations.replications.asked
        operations.replications.asked.clear()
        screen = await dialog(pilot, views[1])
        await press(pilot, "ctrl+s")
        assert pilot.app.screen is screen and not operations.replications.asked


async def test_a_run_that_may_not_be_started_says_why() -> None:
    twice = [run_of(n, ago=n * HOUR, type=RunType.ON_DEMAND) for n in (1, 2)]
    views = [replica(1, "web-01", *twice), some_replicas()[1]]
    operations = operations_of(views)
    async with running(operations) as pilot:
        screen = await dialog(pilot, views[0])
        text = " ".join(screen_text(pilot).replace("│", " ").split())
        assert "0 of 2 in 24 hours are left" in text and "2 on-demand runs within 24 hours are the most" in text
        assert screen.query_one("#yes", Button).disabled
        await press(pilot, "escape")
        await dialog(pilot, views[1])
        assert "run sms-run-00000014 is in progress" in screen_text(pilot)


async def test_a_refusal_stays_in_the_dialog_with_the_choice() -> None:
    views = [replica(1, "web-01", run_of(1))]
    operations = operations_of(views)
    operations.replications.errors["run_now"] = ServiceError(
        ErrorKind.CONFLICT, "a run is in progress", subject="web-01"
    )
    async with running(operations) as pilot:
        screen = await dialog(pilot, views[0])
        await press(pilot, "down", "space", "tab", "tab", "tab", "enter")
        assert pilot.app.screen is screen and "a run is in progress" in screen_text(pilot)
        assert screen.query_one("#sync", ChoiceList).value == Sync.FULL.value
        operations.replications.errors.clear()
        await until(pilot, lambda: not screen.query_one("#yes", Button).has_class("-active"), "the button at rest")
        screen.query_one("#yes", Button).focus()
        await press(pilot, "enter")
        assert ("run_now", views[0].id, Sync.FULL, None, None) in operations.replications.asked


# -- the catalogue


async def catalogue(pilot: Pilot[int]) -> CatalogueScreen:
    screen = CatalogueScreen()
    pilot.app.push_screen(screen)
    await settle(pilot)
    return screen


async def test_the_catalogue_is_imported_filtered_and_cleared() -> None:
    operations = operations_of(some_replicas())
    async with running(operations) as pilot:
        screen = await catalogue(pilot)
        assert "○ not imported" in screen_text(pilot) and "i reads them from vCenter" in screen_text(pilot)
        await press(pilot, "x")
        assert "No servers were imported yet" in toasts(pilot)
        await press(pilot, "i")
        assert "✔ available now  7 servers  2026-03-04 10:41 +0000" in screen_text(pilot)
        assert "\x1b" not in screen_text(pilot) and "[red]markup[/r" in screen_text(pilot)
        await press(pilot, "slash", *"idle", "enter")
        assert [server.name for server in screen.table.rows] == ["idle-01"]
        await press(pilot, "escape", "x", "enter")  # the safe answer has the focus
        assert len(screen.table.rows) == 7
        await press(pilot, "x", "tab", "enter")
        assert "■ cleared" in screen_text(pilot) and "replications go on" in screen_text(pilot)
        await press(pilot, "escape")
        assert pilot.app.screen is not screen


async def test_servers_say_by_which_job_they_are_replicated_and_whether_their_days_are_over() -> None:
    operations = operations_of()
    known = catalogue_of("web-01", "db-01", "web-02", modified=NOW - 3 * DAY)
    job = {
        "web-01": {"replication_id": "sms-job-00000001"},
        "db-01": {"replication_id": "sms-job-00000002", "terminated": True},
    }
    servers = tuple(replace(server, **job.get(server.name, {})) for server in known.servers)
    operations.replications.servers = replace(known, servers=servers)
    async with running(operations) as pilot:
        await catalogue(pilot)
        text = screen_text(pilot)
        assert "3 servers, 1 replicated" in text and "3 d ago" in text
        assert "sms-job-00000001" in text and "sms-job-00000002 days over" in text and "none" in text
        await press(pilot, "y")
        assert "s-00000001\t/DC1/vm/Production/web-01\tsms-job-00000001" in operations.saved["servers.txt"]
        operations.replications.servers = replace(known, status=CatalogueStatus.EXPIRED, servers=())
        await press(pilot, "r")
        assert "▲ expired" in screen_text(pilot) and "of another vCenter" in screen_text(pilot)
        operations.replications.errors["catalogue"] = ServiceError(ErrorKind.LOCAL, "the database is locked")
        await press(pilot, "r")
        assert "the database is locked" in screen_text(pilot)


async def test_the_form_opens_for_the_servers_selected() -> None:
    operations = operations_of()
    machines = tuple(replace(machine, instance_uuid=f"uuid-{machine.name}") for machine in company())
    operations.vcenter.cached = Inventory(VCenterInfo("vcenter.corp"), FIRST, machines)
    operations.replications.servers = catalogue_of("web-01", "web-02", "gone-01")
    async with running(operations) as pilot:
        screen = await catalogue(pilot)
        await press(pilot, "n")  # gone-01 is the first by its name
        assert "gone-01: not in the inventory read last" in toasts(pilot) and pilot.app.screen is screen
        await press(pilot, "down", "space", "space", "n")
        opened_form = pilot.app.screen
        assert isinstance(opened_form, ReplicationForm) and opened_form.draft.names == "web-01, web-02"
        await press(pilot, "ctrl+s")
        assert [spec.plan.source.name for spec in made(operations)] == ["web-01", "web-02"]
        assert pilot.app.screen is screen and not screen.table.marked
        await press(pilot, "space", "escape")  # the selection goes first
        assert pilot.app.screen is screen


async def test_a_read_only_profile_looks_at_the_catalogue_alone() -> None:
    operations = operations_of()
    operations.profile = replace(operations.profile, read_only=True)
    operations.replications.servers = catalogue_of("web-01")
    async with running(operations) as pilot:
        await catalogue(pilot)
        assert "web-01" in screen_text(pilot)
        await press(pilot, "i", "x", "n")
        assert toasts(pilot).count("read-only") == 3 and not [
            call for call in operations.replications.asked if call[0] != "ensure_worker"
        ]


def test_a_draft_asks_only_what_matters() -> None:
    draft = ReplicationDraft((MACHINES["web-01"],), "prod", "vcenter.corp", NOW, region="eu-west-1", role_name="r")
    assert "kms_key" not in draft.asked and "every" in draft.asked
    draft.kind, draft.every, draft.keep = ONCE, "99", ""
    assert not draft.mistakes()  # what is not asked cannot be wrong


class Choices(ThemedApp):
    def compose(self) -> Iterable[Widget]:
        options = (Option("a", "A"), Option("b", "B", refused="not today"), Option("c", "C"))
        yield ChoiceList("Letter", options, "a", inline=True, id="letter")


async def test_on_one_line_what_cannot_be_chosen_is_passed_over_and_says_why() -> None:
    app = Choices()
    async with app.run_test() as pilot:
        choice = app.query_one(ChoiceList)
        choice.focus()
        await pilot.press("space")
        assert choice.value == "c" and [note.message for note in app._notifications] == ["B: not today"]
        await pilot.press("space")
        assert choice.value == "a"
