"""The import wizard: five steps, nothing lost between them, clear refusals, one job per machine."""

from __future__ import annotations

import json
import shlex
import threading
from dataclasses import replace

import pytest
from textual.widgets import Input

from tests.kits.driving import press, running, screen_text, settle, until
from tests.kits.fake_backend import FSTAB, FakeOperations, company, preflight_of, some_jobs
from tests.kits.wizard import open_wizard, start_button, to_review
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import BootMode, LicenseType, Route
from vmie_tui.model.rules.account import Account
from vmie_tui.operations.licences import licence_options
from vmie_tui.screens.frame.confirm import ForceScreen
from vmie_tui.screens.inventory.screen import InventoryScreen
from vmie_tui.screens.jobs.screen import JobsScreen
from vmie_tui.screens.wizard import screen as wizard
from vmie_tui.screens.wizard.screen import WizardScreen
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.machines import MachineTable


async def test_two_linux_machines_from_selection_to_jobs() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await press(pilot, "slash", *"web-0", "enter", "space", "space", "i")
        assert "Import web-01, web-02" in screen_text(pilot)
        await press(pilot, "right", "right")
        assert "the only one for Linux" in screen_text(pilot)
        await press(pilot, "pagedown", "pagedown")
        assert "aws ec2 import-image" in screen_text(pilot)
        await press(pilot, "enter")
        assert [plan.source.name for plan in operations.jobs.submitted] == ["web-01", "web-02"]
        first = operations.jobs.submitted[0]
        assert first.license_type is LicenseType.BYOL
        assert (first.region, first.bucket, first.prefix) == ("eu-west-1", "migration-eu-west-1", "vmie/")
        assert (first.profile, first.role_name, first.ami_name) == ("prod", "vmimport", ""), "the AMI is named like it"
        assert (first.source.moid, first.source.instance_uuid) == ("vm-1", "uuid-1")
        assert isinstance(pilot.app.screen, JobsScreen)
        await press(pilot, "1")
        assert not pilot.app.screen.query_one(MachineTable).marked


async def test_answers_stay_when_going_back_and_forth() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await press(pilot, "pagedown", "pagedown", "pagedown")
        name = screen.query_one("#ami_name", Input)
        name.focus()
        await press(pilot, "end", *"-copy")
        screen.query_one("#boot_mode", ChoiceList).focus()
        await press(pilot, "space", "space")
        await press(pilot, "pageup", "pageup", "pageup", "pageup", "pagedown", "pagedown", "pagedown")
        assert name.value == "{vm}-copy"
        await press(pilot, "pagedown", "enter")
        plan = operations.jobs.submitted[0]
        assert plan.ami_name == "web-01-copy"
        assert plan.boot_mode is BootMode.UEFI


async def test_arrows_edit_inside_a_field_and_change_step_at_its_ends() -> None:
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await press(pilot, "right", "right", "right")
        region = screen.query_one("#region", Input)
        region.focus()
        await press(pilot, "home", "right", "x")
        assert region.value == "exu-west-1"
        await press(pilot, "backspace", "home", "left")
        assert screen.query_one("#pages").current == "step-licence"


async def test_licence_aws_is_refused_for_linux_and_says_why() -> None:
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await press(pilot, "pagedown", "pagedown")
        screen.query_one("#licence", ChoiceList).focus()
        await press(pilot, "down", "space")
        assert screen.draft.licence == "BYOL"
        assert "Windows Server only" in screen_text(pilot)
        assert any("Windows Server only" in note.message for note in pilot.app._notifications)


async def test_windows_server_must_choose_a_licence() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-4")
        await to_review(pilot)
        assert start_button(pilot).disabled
        assert "no licence was chosen" in screen_text(pilot)
        await press(pilot, "pageup", "pageup")
        screen.query_one("#licence", ChoiceList).focus()
        await press(pilot, "down", "space", "pagedown", "pagedown")
        assert not start_button(pilot).disabled
        await press(pilot, "enter")
        assert operations.jobs.submitted[0].license_type is LicenseType.AWS


async def test_usage_operation_goes_into_the_plan_without_a_licence_type() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-4")
        await press(pilot, "pagedown", "pagedown")
        screen.query_one("#licence", ChoiceList).focus()
        await press(pilot, "down", "down", "space")
        usage = screen.query_one("#usage", ChoiceList)
        assert usage.display
        usage.focus()
        await press(pilot, "down", "space")
        await press(pilot, "pagedown", "pagedown", "enter")
        plan = operations.jobs.submitted[0]
        assert plan.license_type is None
        assert plan.usage_operation == "RunInstances:0006"


async def test_mixed_systems_leave_only_what_fits_all() -> None:
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-1", "vm-4")
        refused = {option.value: option.refused for option in licence_options(screen.draft.machines)}
        assert not refused["BYOL"]
        assert "web-01 is not" in refused["AWS"]


async def test_a_blocker_stops_the_start_until_the_name_is_typed() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-6")
        await to_review(pilot)
        assert "raw device mapping" in screen_text(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ForceScreen)
        await press(pilot, *"db-rd", "enter")
        assert "not its name" in screen_text(pilot)
        assert operations.jobs.submitted == []
        await press(pilot, "m", "enter")
        assert [plan.override for plan in operations.jobs.submitted] == [("Hard disk 2: is a raw device mapping",)]


async def test_several_blocked_machines_are_named_one_after_the_other() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-1", "vm-3", "vm-6")
        await to_review(pilot)
        await press(pilot, "enter")
        assert "1 of 2" in screen_text(pilot)
        first = "db-rdm" if "db-rdm is blocked" in screen_text(pilot) else "web-legacy"
        await press(pilot, *first, "enter")
        assert "2 of 2" in screen_text(pilot)
        await press(pilot, "escape")
        assert operations.jobs.submitted == []
        assert isinstance(pilot.app.screen, WizardScreen)
        second = ({"db-rdm", "web-legacy"} - {first}).pop()
        await press(pilot, "enter", *first, "enter", *second, "enter")
        assert {plan.source.name: bool(plan.override) for plan in operations.jobs.submitted} == {
            "web-01": False,
            "web-legacy": True,
            "db-rdm": True,
        }


async def test_a_machine_that_cannot_be_exported_cannot_be_forced() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-12")
        await to_review(pilot)
        assert start_button(pilot).disabled
        await press(pilot, "enter")
        assert operations.jobs.submitted == []


async def test_what_the_disks_say_blocks_too() -> None:
    operations = FakeOperations()
    operations.imports.preflights["web-02"] = preflight_of(company()[1], (), FSTAB)
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-2")
        await to_review(pilot)
        assert "? not looked  disks not inspected" in screen_text(pilot)
        await press(pilot, "p", "escape")
        assert "/etc/fstab is missing" in screen_text(pilot)
        await press(pilot, "enter", *"web-02", "enter")
        assert operations.jobs.submitted[0].override == ("disk 1 partition 1: /etc/fstab is missing",)


async def test_what_the_disks_say_does_not_block_where_aws_does_not_look() -> None:
    operations = FakeOperations()
    operations.imports.preflights["web-02"] = preflight_of(company()[1], (), FSTAB)
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-2")
        await press(pilot, "p", "escape")
        screen.draft.choose_route(Route.UNMODIFIED)
        await to_review(pilot)
        assert "▲ disk 1 partition 1: /etc/fstab is missing" in screen_text(pilot)
        assert not start_button(pilot).disabled
        await press(pilot, "enter")
        assert operations.jobs.submitted[0].override == ()


async def test_the_command_is_valid_shell_with_valid_json() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1")
        screen.draft.description = 'it\'s "quoted" $HOME `x` \\ {vm}'
        await to_review(pilot)
        await press(pilot, "y")
        assert '"UserBucket":{"S3Bucket"' in screen.query_one("#review", LinePane).plain()
    (line,) = operations.saved["aws-import-image.sh"].splitlines()
    words = shlex.split(line)
    assert words[:3] == ["aws", "ec2", "import-image"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--description"] == 'it\'s "quoted" $HOME `x` \\ web-01'
    containers = json.loads(options["--disk-containers"])
    assert [container["UserBucket"]["S3Key"] for container in containers] == [
        "vmie/web-01/disk-1.vmdk",
        "vmie/web-01/disk-2.vmdk",
    ]
    assert {container["Format"] for container in containers} == {"VMDK"}


async def test_mistakes_of_the_target_are_said_beside_the_field() -> None:
    operations = FakeOperations()
    operations.profile = replace(operations.profile, bucket="", region="Ireland")
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1", "vm-2")
        screen.draft.choose_route(Route.IMAGE)  # without a bucket it is not the default
        await press(pilot, "pagedown", "pagedown", "pagedown")
        text = screen_text(pilot)
        assert "A Region reads like eu-west-1" in text
        assert "Name a bucket in that Region" in text
        for key, value in (("region", "eu-west-1"), ("bucket", "b-1-x"), ("ami_name", "same"), ("tags", "nonsense")):
            screen.query_one(f"#{key}", Input).value = value
        await settle(pilot)
        text = screen_text(pilot)
        assert "2 AMIs cannot share a name" in text
        assert "Tags read like key=value" in text
        await press(pilot, "pagedown")
        assert start_button(pilot).disabled
        screen.query_one("#ami_name", Input).value = "x-{vm}"
        screen.query_one("#tags", Input).value = "owner=ops, wave=1"
        await press(pilot, "pageup", "pagedown", "enter")
        assert [plan.ami_name for plan in operations.jobs.submitted] == ["x-web-01", "x-web-02"]
        assert operations.jobs.submitted[0].tags == {"owner": "ops", "wave": "1"}


async def test_encryption_offers_a_key() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await press(pilot, "pagedown", "pagedown", "pagedown")
        assert not screen.query_one("#field-kms_key").display
        screen.query_one("#encrypted", ChoiceList).focus()
        await press(pilot, "space")
        assert screen.query_one("#field-kms_key").display
        screen.query_one("#kms_key", Input).value = "alias/migration"
        await press(pilot, "pagedown", "enter")
        assert operations.jobs.submitted[0].encrypted
        assert operations.jobs.submitted[0].kms_key_id == "alias/migration"


async def test_what_could_not_start_is_named_and_the_rest_starts() -> None:
    operations = FakeOperations()
    operations.jobs.submit_errors["web-02"] = ServiceError(ErrorKind.LOCAL, "the disk of the state folder is full")
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-1", "vm-2")
        await to_review(pilot)
        await press(pilot, "enter")
        assert [plan.source.name for plan in operations.jobs.submitted] == ["web-01"]
        assert any("web-02 was not started. the disk" in note.message for note in pilot.app._notifications)
        assert isinstance(pilot.app.screen, JobsScreen)


async def test_nothing_started_stays_in_the_wizard() -> None:
    operations = FakeOperations()
    operations.jobs.submit_errors["web-01"] = ServiceError(ErrorKind.LOCAL, "the disk of the state folder is full")
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-1")
        await to_review(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, WizardScreen)
        assert not start_button(pilot).disabled


async def test_command_is_copied_to_a_file_at_least() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-1")
        await to_review(pilot)
        await press(pilot, "y")
        text = operations.saved["aws-import-image.sh"]
        assert text.startswith("aws ec2 import-image")
        assert "--license-type BYOL" in text
        assert '"S3Key":"vmie/web-01/disk-2.vmdk"' in text
        assert any("OSC 52" in note.message for note in pilot.app._notifications)


async def test_escape_leaves_without_starting() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        await open_wizard(pilot, "vm-1")
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, InventoryScreen)
        assert operations.jobs.submitted == []
        assert pilot.app.screen.query_one(MachineTable).marked == {"vm-1"}


async def test_the_jobs_cursor_goes_to_what_was_just_started() -> None:
    old = [replace(view, id=f"old-{number}") for number, view in enumerate(some_jobs())]
    operations = FakeOperations(jobs=old)
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down", "1")
        await open_wizard(pilot, "vm-1")
        await to_review(pilot)
        operations.jobs.job_views = [replace(old[0], id="job-1"), *old]
        await press(pilot, "enter")
        screen = pilot.app.screen
        assert isinstance(screen, JobsScreen)
        await until(pilot, lambda: screen.table.current is not None and screen.table.current.id == "job-1")


async def test_the_account_is_looked_at_and_what_blocks_there_must_be_forced() -> None:
    operations = FakeOperations()
    operations.imports.account = Account(root=True, active_tasks=9, ebs_encryption=True)
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1", "vm-2")
        await to_review(pilot)
        assert [plan.source.name for plan in operations.imports.accounts_asked] == ["web-01"], "one target, one look"
        text = screen.query_one("#review", LinePane).plain()
        assert "Target eu-west-1  ✖ 1 blocker" in text
        assert text.count("root user cannot import") == 1
        assert "▲ account: 9 tasks run in eu-west-1" in text
        assert "encrypted in any case" not in text, "information is not in the way"
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ForceScreen)
        assert "root user" in screen_text(pilot)
        await press(pilot, *"web-01", "enter", *"web-02", "enter")
        assert {plan.override for plan in operations.jobs.submitted} == {
            ("credentials: the account's root user cannot import",)
        }


async def test_what_the_job_would_refuse_anyway_must_be_put_right_and_is_asked_about_anew() -> None:
    operations = FakeOperations()
    operations.imports.account = Account(bucket_region="us-east-1")
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await to_review(pilot)
        assert start_button(pilot).disabled
        text = " ".join(screen.query_one("#review", LinePane).plain().split())
        assert "the bucket is in us-east-1, the import in eu-west-1" in text
        operations.imports.account = Account(bucket_region="eu-west-1")
        await press(pilot, "left")
        screen.query_one("#bucket", Input).value = "another-bucket"
        await press(pilot, "pagedown")
        assert [plan.bucket for plan in operations.imports.accounts_asked] == ["migration-eu-west-1", "another-bucket"]
        assert "Target eu-west-1" not in screen_text(pilot)
        await press(pilot, "enter")
        assert len(operations.jobs.submitted) == 1


async def test_without_aws_the_review_says_why_and_the_import_starts_all_the_same() -> None:
    operations = FakeOperations()
    operations.imports.account_error = ServiceError(
        ErrorKind.LOGIN, "the AWS sign-in has expired", remedy="Sign in again"
    )
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await to_review(pilot)
        text = " ".join(screen.query_one("#review", LinePane).plain().split())
        assert "▲ The account could not be looked at: the AWS sign-in has expired. Sign in again" in text
        await press(pilot, "enter")
        assert len(operations.jobs.submitted) == 1


async def test_an_aws_that_says_nothing_holds_the_start_up_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wizard, "PATIENCE", 3600)  # so that the wait is seen, however slow the machine
    operations = FakeOperations()
    operations.imports.account_gate = threading.Event()
    operations.imports.account = Account(region_enabled=False)
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1")
        review = screen.query_one("#review", LinePane)
        await pilot.press(*["pagedown"] * 4)
        await until(pilot, lambda: "looking at the account…" in review.plain(), "asking")
        assert start_button(pilot).disabled
        monkeypatch.setattr(wizard, "PATIENCE", 0.05)
        await pilot.press("left", "right")  # AWS is asked anew whenever the review is reached
        await until(pilot, lambda: "AWS has not answered yet" in review.plain(), "enough waited")
        assert not start_button(pilot).disabled
        operations.imports.account_gate.set()
        await settle(pilot)
        assert "is not enabled in this account" in review.plain()
        assert operations.jobs.submitted == []
