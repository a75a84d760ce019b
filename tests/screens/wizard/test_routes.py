"""All routes in the wizard: why and why not, the questions each one asks, and the calls by hand."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest
from textual.widgets import Input

from tests.kits.driving import press, running, screen_text, settle
from tests.kits.fake_backend import NOW, FakeOperations, company, described, some_jobs
from tests.kits.wizard import open_wizard, start_button, to_review
from vmie_tui.model.job import DiskProgress, Stage, StageState, StageView
from vmie_tui.model.machine import Firmware, Machine
from vmie_tui.model.plan import (
    BootMode,
    FileSource,
    ImportPlan,
    ObjectSource,
    Route,
    SnapshotSource,
    Source,
    UploadFormat,
    Via,
    VmSource,
)
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.rules.routes import needs_bucket, needs_role
from vmie_tui.model.task import JobState
from vmie_tui.operations.aws_commands import aws_commands
from vmie_tui.operations.estimate import estimate, measured
from vmie_tui.operations.import_plan import Candidate, Draft, of_machines, questions, route_words
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.fold import Fold
from vmie_tui.widgets.line_view import LinePane

WEB = company()[1]
SOURCES: dict[str, Source] = {
    "vm": VmSource("vcenter.corp", "vm-2", "web-02"),
    "file": FileSource("web", ("/exports/web.vmdk",)),
    "object": ObjectSource("web", "images", ("web.vmdk",), "VMDK"),
    "snapshot": SnapshotSource("web", ("snap-0123456789abcdef0",)),
}


def draft_of(source: Source, machine: Machine = WEB, **fields: object) -> Draft:
    draft = Draft((Candidate(source, machine),), "prod", region="eu-west-1", bucket="b-1", role_name="vmimport")
    for name, value in fields.items():
        setattr(draft, name, value)
    return draft


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("via", Via)
@pytest.mark.parametrize("route", Route)
def test_a_bucket_and_a_role_are_asked_for_where_the_plan_needs_them(kind: str, route: Route, via: Via) -> None:
    draft = draft_of(SOURCES[kind])
    draft.choose_route(route)
    draft.via = via
    plan, asked = draft.plans()[0], draft.asked
    assert ("bucket" in asked) == needs_bucket(plan)
    assert ("role_name" in asked) == needs_role(plan)
    assert ("format" in asked) == needs_bucket(plan)
    assert route_words(SOURCES[kind], route, via).endswith(".")


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("route", Route)
def test_answers_to_questions_that_are_not_asked_stay_out_of_the_plan(kind: str, route: Route) -> None:
    draft = draft_of(
        SOURCES[kind],
        copy_to="us-east-1",
        test_launch=True,
        clean_up=True,
        encrypted=True,
        make_volumes=True,
        zone="eu-west-1a",
        instance_type="m3.large",
    )
    draft.choose_route(route)
    plan, asked = draft.plans()[0], draft.asked
    assert (
        bool(plan.copy_to) == bool(plan.test_launch) == (route in {Route.IMAGE, Route.IMAGE_DIRECT, Route.UNMODIFIED})
    )
    assert plan.clean_up == ("clean_up" in asked)
    assert plan.encrypted == ("encrypted" in asked)
    assert (plan.volumes is not None) == (route is Route.SNAPSHOT)
    assert (plan.legacy is not None) == (route is Route.INSTANCE)
    assert ImportPlan.from_json(plan.to_json()) == plan


def test_what_the_wizard_asks_by_default_is_a_plan_the_rules_accept() -> None:
    """On each possible route the wizard's own presets leave no blocker but what only the user can answer."""
    for (kind, source), firmware in itertools.product(SOURCES.items(), Firmware):
        machine = replace(WEB, name=source.name, firmware=firmware)
        draft = draft_of(source, machine, instance_type="m3.large", zone="eu-west-1a")
        for option in draft.route_options():
            if option.refused:
                continue
            draft.choose_route(Route(option.value))
            found = check_plan(draft.plans()[0], machine)
            about = {finding.headline for finding in found if finding.severity.name == "BLOCKER"}
            uefi = {text for text in about if firmware is Firmware.UEFI and "instance" in text.lower()}
            assert about <= uefi, (kind, option.value, about)
            assert not draft.mistakes(), (kind, option.value)


def test_unmodified_takes_the_boot_mode_of_the_firmware() -> None:
    for firmware, mode in ((Firmware.UEFI, BootMode.UEFI), (Firmware.BIOS, BootMode.LEGACY_BIOS)):
        draft = draft_of(SOURCES["vm"], replace(WEB, firmware=firmware))
        assert draft.plans()[0].boot_mode is None
        draft.choose_route(Route.UNMODIFIED)
        assert draft.plans()[0].boot_mode is mode


def test_an_ebs_snapshot_asks_for_no_route_through_s3() -> None:
    draft = draft_of(SOURCES["snapshot"])
    assert draft.route is Route.IMAGE_DIRECT
    assert {option.value for option in draft.route_options() if option.refused} == {"image", "instance"}
    draft.choose_route(Route.SNAPSHOT)
    assert draft.make_volumes
    assert "zone" in draft.mistakes()


def test_several_machines_share_only_what_all_can_do() -> None:
    draft = Draft(of_machines(company()[:2], "vcenter.corp"), "prod", region="eu-west-1")
    refused = {option.value: option.refused for option in draft.route_options()}
    assert refused["instance"].startswith("web-01: instance import takes one disk")
    assert not refused["image"]


MISTAKES = [
    ({"route": Route.SNAPSHOT, "make_volumes": True}, "zone"),
    ({"route": Route.SNAPSHOT, "make_volumes": True, "zone": "us-east-1a"}, "zone"),
    ({"route": Route.SNAPSHOT, "make_volumes": True, "attach_to": "web"}, "attach_to"),
    ({"route": Route.INSTANCE}, "instance_type"),
    ({"route": Route.INSTANCE, "volume_only": True}, "instance_zone"),
    ({"route": Route.INSTANCE, "instance_type": "m3.large", "instance_subnet": "x"}, "instance_subnet"),
    ({"copy_to": "Frankfurt"}, "copy_to"),
    ({"copy_to": "us-east-1, eu-west-1"}, "copy_to"),
    ({"test_launch": True, "launch_subnet": "net"}, "launch_subnet"),
    ({"route": Route.UNMODIFIED, "root_device": "sda"}, "root_device"),
    ({"bucket": ""}, "bucket"),
    ({"role_name": ""}, "role_name"),
]


@pytest.mark.parametrize(("fields", "where"), MISTAKES)
def test_mistakes_are_found_where_they_are_made(fields: dict[str, object], where: str) -> None:
    assert where in draft_of(SOURCES["vm"], **fields).mistakes()


def test_what_is_not_asked_cannot_be_wrong() -> None:
    draft = draft_of(SOURCES["vm"], bucket="", role_name="", root_device="", copy_to="x", zone="y")
    draft.choose_route(Route.SNAPSHOT)
    draft.via = Via.EBS
    assert draft.mistakes() == {}


# -- the calls by hand


def shell_words(text: str) -> list[list[str]]:
    """The commands of a script, comments left out, each in words; ``X=$(...)`` gives the words inside."""
    lines = [line for line in text.replace(" \\\n", " ").splitlines() if line and not line.startswith("#")]
    return [shlex.split(re.sub(r"^\w+=\$\((.*)\)$", r"\1", line)) for line in lines]


CALLS = [
    ("vm", Route.IMAGE, Via.S3, ["import-image"]),
    ("vm", Route.IMAGE_DIRECT, Via.S3, ["start-snapshot", "complete-snapshot", "import-image"]),
    ("vm", Route.UNMODIFIED, Via.S3, ["import-snapshot", "describe-import-snapshot-tasks", "register-image"]),
    ("vm", Route.UNMODIFIED, Via.EBS, ["start-snapshot", "complete-snapshot", "register-image"]),
    (
        "vm",
        Route.SNAPSHOT,
        Via.S3,
        ["import-snapshot", "describe-import-snapshot-tasks", "create-volume", "attach-volume"],
    ),
    ("snapshot", Route.IMAGE_DIRECT, Via.S3, ["import-image"]),
    ("snapshot", Route.UNMODIFIED, Via.S3, ["register-image"]),
    ("object", Route.IMAGE, Via.S3, ["import-image"]),
]


@pytest.mark.parametrize(("kind", "route", "via", "calls"), CALLS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_calls_by_hand_are_valid_shell(kind: str, route: Route, via: Via, calls: list[str], wrapped: bool) -> None:
    name = 'it\'s "w" $(touch /tmp/owned) `x`'
    machine = replace(WEB, name=name, disks=(replace(WEB.disks[0], label="Hard\ndisk $(id) 1"),))
    source = replace(SOURCES[kind], name=name)
    draft = draft_of(source, machine, make_volumes=True, zone="eu-west-1a", attach_to="i-0123456789abcdef0")
    draft.choose_route(route)
    draft.via = via
    text = aws_commands(draft.plans(), draft.candidates, wrapped=wrapped)
    done = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert re.findall(r"^(?:\w+=\$\()?aws \w+ ([\w-]+)", done, re.MULTILINE) == calls
    for words in shell_words(text) if not wrapped else ():
        for value in words:
            if value.startswith(("{", "[")):
                json.loads(value)
    if kind == "snapshot":
        assert "snap-0123456789abcdef0" in text
    if kind == "object":
        assert '"S3Bucket":"images","S3Key":"web.vmdk"' in text
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n"], input=text.encode(), check=True)


def test_variables_of_the_shell_end_up_in_the_json() -> None:
    draft = draft_of(SOURCES["vm"])
    draft.choose_route(Route.UNMODIFIED)
    text = aws_commands(draft.plans(), draft.candidates)
    script = "SNAPSHOT_1=snap-1; set -- " + text.splitlines()[-1].removeprefix("aws ec2 register-image")
    script += '; for word; do case $word in "["*) printf %s "$word";; esac; done'
    bash = shutil.which("bash")
    assert bash is not None
    said = subprocess.run([bash, "-c", script], check=True, capture_output=True).stdout
    assert json.loads(said) == [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-1"}}]


def test_the_instance_route_by_hand_is_python_that_compiles() -> None:
    for only in (False, True):
        draft = draft_of(SOURCES["vm"], instance_type="m3.large", instance_zone="eu-west-1a", volume_only=only)
        draft.choose_route(Route.INSTANCE)
        (words,) = shell_words(aws_commands(draft.plans(), draft.candidates))
        assert words[:2] == ["python3", "-c"]
        compile(words[2], "by hand", "exec")
        assert ("import_volume" in words[2]) == only


# -- what it moves, takes and costs


def test_nothing_is_guessed_without_a_measurement() -> None:
    words = dict(estimate(draft_of(SOURCES["vm"]), ()))
    assert words["Bytes to move"].startswith("At most 40 GiB")
    assert "unknown" in words["Time"]
    assert "no extra charge" in words["Cost"]
    assert not re.search(r"[$€]|USD|\d+ cents", " ".join(words.values()))


def test_earlier_jobs_measure_rate_share_and_conversion() -> None:
    start = NOW - timedelta(hours=1)
    stages = (
        StageView(Stage.UPLOAD, StageState.DONE, start, start + timedelta(seconds=100)),
        StageView(Stage.IMPORT, StageState.DONE, start, start + timedelta(minutes=10)),
    )
    disk = DiskProgress(1, "disk 1", 40 << 30, 10 << 30, 10 << 30, state=StageState.DONE)
    job = replace(some_jobs()[3], state=JobState.DONE, stages=stages, disks=(disk,), task_id="import-ami-1")
    resumed = replace(job, disks=(replace(disk, skipped=1),))
    known = measured([job, job, resumed])
    assert (known.jobs, known.rate, known.share) == (2, (10 << 30) / 100, 0.25)
    words = dict(estimate(draft_of(SOURCES["vm"]), [job, job]))
    assert "About 10 GiB" in words["Bytes to move"] and "25%" in words["Bytes to move"]
    assert "102 MiB/s, measured over 2 jobs" in words["Time"]
    assert "~10 min for such a task" in words["Time"]
    assert measured([job], "import-snap-").conversions == 0
    assert measured([replace(job, state=JobState.FAILED)]).jobs == 0


def test_snapshots_move_nothing() -> None:
    words = dict(estimate(draft_of(SOURCES["snapshot"]), ()))
    assert words["Bytes to move"] == "None through this machine: they are in AWS already."


# -- on the screen


async def test_the_route_page_says_why_and_why_not() -> None:
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await press(pilot, "pagedown")
        text = screen_text(pilot)
        for label in ("Image (recommended)", "Image, direct", "Unmodified", "Snapshot", "Instance (legacy)"):
            assert label in text
        await press(pilot, *["down"] * 4)
        assert "Why not Instance (legacy): instance import takes one disk" in screen_text(pilot)
        await press(pilot, "space")
        assert screen.draft.route is Route.IMAGE
        await press(pilot, "up", "up", "space")
        assert screen.draft.route is Route.UNMODIFIED
        assert "EBS direct" in screen_text(pilot)


async def test_unmodified_by_ebs_from_the_route_to_the_job() -> None:
    operations = FakeOperations()
    async with running(operations) as pilot:
        screen = await open_wizard(pilot, "vm-1")
        await press(pilot, "pagedown", "down", "down", "space")
        screen.query_one("#via", ChoiceList).focus()
        await press(pilot, "down", "space")
        assert not screen.query_one("#format").display
        await press(pilot, "pagedown")
        assert "This route asks for none" in screen_text(pilot)
        await press(pilot, "pagedown")
        text = screen_text(pilot)
        assert "Root device" in text and "by its firmware" in text
        assert "Bucket" not in text and "Service role" not in text
        screen.query_one("#fold-after", Fold).focus()
        await press(pilot, "space", "tab")
        assert isinstance(pilot.app.focused, Input) and pilot.app.focused.id == "copy_to"
        await press(pilot, *"us-east-1")
        screen.query_one("#test_launch", ChoiceList).focus()
        await press(pilot, "space")
        assert "Key pair" in screen_text(pilot)
        await press(pilot, "pagedown")
        page = screen.query_one("#review", LinePane).plain()
        assert "no bucket, no service role" in page
        assert "aws ebs start-snapshot" in page
        assert "aws ec2 register-image" in page
        await press(pilot, "y", "enter")
        assert "start-snapshot" in operations.saved["aws-import-unmodified.sh"]
        plan = operations.jobs.submitted[0]
        assert (plan.route, plan.via, plan.bucket) == (Route.UNMODIFIED, Via.EBS, "")
        assert plan.copy_to == ("us-east-1",)
        assert plan.test_launch is not None and plan.test_launch.isolated
        assert plan.boot_mode is BootMode.UEFI


async def test_windows_on_the_instance_route_is_told_what_licence_it_gets() -> None:
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-11")
        screen.draft.choose_route(Route.INSTANCE)
        await press(pilot, "pagedown", "pagedown")
        assert "Windows gets a licence of AWS" in screen_text(pilot)
        assert not screen.query_one("#licence").display


async def test_answers_stay_when_the_route_changes_and_changes_back() -> None:
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-2")
        await press(pilot, "pagedown", "pagedown", "pagedown")
        screen.query_one("#prefix", Input).value = "wave-1/"
        screen.query_one("#encrypted", ChoiceList).focus()
        await press(pilot, "space", "pageup", "pageup")
        screen.query_one("#route", ChoiceList).focus()
        await press(pilot, *["down"] * 4, "space", "pagedown", "pagedown")
        assert not screen.query_one("#encrypted").display
        assert not screen.draft.plans()[0].encrypted
        assert start_button(pilot).disabled
        screen.query_one("#instance_type", Input).value = "m3.large"
        await press(pilot, "pageup", "pageup")
        screen.query_one("#route", ChoiceList).focus()
        await press(pilot, *["up"] * 4, "space", "pagedown", "pagedown")
        plan = screen.draft.plans()[0]
        assert plan.encrypted and plan.prefix == "wave-1/" and plan.legacy is None


async def test_every_page_stays_usable_in_24_lines() -> None:
    """The field with the focus is always on the screen, whatever is unfolded."""
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-2")
        await press(pilot, "pagedown")
        screen.query_one("#route", ChoiceList).focus()
        await press(pilot, "down", "down", "down", "space", "pagedown", "pagedown")
        for fold in screen.query(Fold):
            if not fold.unfolded:
                fold.focus()
                await press(pilot, "space")
        screen.query_one("#make_volumes", ChoiceList).focus()
        await press(pilot, "space")
        screen.query_one("#region", Input).focus()
        seen = set()
        for _ in range(24):
            focused = pilot.app.focused
            assert focused is not None
            seen.add(focused.id)
            assert screen.region.contains_region(focused.region), focused.id
            assert focused.region.height > 0, focused.id
            await pilot.press("down")
            await pilot.pause()
        assert {"region", "tags", "encrypted", "zone", "attach_to", "clean_up", "fold-after"} <= seen


async def test_a_mistake_in_a_folded_group_is_marked_and_stops_the_start() -> None:
    async with running() as pilot:
        screen = await open_wizard(pilot, "vm-2")
        await press(pilot, "pagedown", "pagedown", "pagedown")
        screen.draft.copy_to = "Frankfurt"
        screen.step().enter()
        await settle(pilot)
        line = next(line for line in screen_text(pilot).splitlines() if "Afterwards" in line)
        assert "✖" in line
        await press(pilot, "pagedown")
        assert start_button(pilot).disabled
        assert "'Frankfurt' is no Region" in screen_text(pilot)


async def test_a_snapshot_goes_through_the_wizard() -> None:
    operations = FakeOperations()
    operations.imports.described["snap-0123456789abcdef0"] = described(SOURCES["snapshot"])
    async with running(operations) as pilot:
        await press(pilot, "o", *"snap-0123456789abcdef0", "enter")
        await press(pilot, "i")
        assert "EBS" in screen_text(pilot)
        await to_review(pilot)
        await press(pilot, "enter")
        plan = operations.jobs.submitted[0]
        assert (plan.route, plan.platform, plan.upload_format) == (Route.IMAGE_DIRECT, "Linux", UploadFormat.VMDK)
        assert plan.source == SOURCES["snapshot"]


def test_questions_of_several_sources_are_joined() -> None:
    both = questions((SOURCES["vm"], SOURCES["snapshot"]), Route.IMAGE_DIRECT, Via.S3)
    assert {"quiesce", "role_name", "platform"} <= both
