"""The exports screen on operations of model values: what can leave, the form, the bucket's change, downloads, jobs."""

from __future__ import annotations

import shlex
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.kits.driving import press, running, screen_text, settle, until
from tests.kits.fake_backend import NOW, FakeOperations, job
from tests.kits.fake_exports import BUCKET, IMAGE, INSTANCE, SOLD, closed_bucket
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import Container, DeployTarget, ExportFormat, ExportPlan, TargetEnvironment
from vmie_tui.model.job import DiskProgress, JobView, Stage, StageState, StageView
from vmie_tui.model.task import JobState
from vmie_tui.operations.export_plan import ExportDraft
from vmie_tui.screens.exports.deploy_places import DeployScreen
from vmie_tui.screens.exports.form import ExportFormScreen
from vmie_tui.screens.exports.grant_diff import DiffScreen
from vmie_tui.screens.exports.screen import ExportsScreen
from vmie_tui.screens.frame.confirm import ForceScreen
from vmie_tui.screens.jobs.screen import JobsScreen
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.jobs import job_lines
from vmie_tui.widgets.line_view import LinePane

TASK, OBJECT = "export-ami-0123456789abcdef0", f"s3://{BUCKET}/vmie/export-ami-0123456789abcdef0.vmdk"


@asynccontextmanager
async def exports(operations: FakeOperations | None = None) -> AsyncIterator[tuple[Pilot[int], FakeOperations]]:
    operations = operations or FakeOperations()
    async with running(operations) as pilot:
        await press(pilot, "4")
        await settle(pilot)
        yield pilot, operations


def told(pilot: Pilot[int]) -> str:
    return " | ".join(note.message for note in pilot.app._notifications)


def export_job(state: JobState = JobState.RUNNING, stage: Stage = Stage.DOWNLOAD, **fields: object) -> JobView:
    order = (Stage.CHECK, Stage.EXPORT, Stage.DOWNLOAD, Stage.FINISH)
    at = order.index(stage)
    views = tuple(
        StageView(one, StageState.DONE if i < at else StageState.RUNNING if i == at else StageState.PENDING, NOW, NOW)
        for i, one in enumerate(order)
    )
    disk = DiskProgress(1, f"{TASK}.vmdk", 0, 50 << 20, 0, 0, 12e6, 3, StageState.RUNNING)
    view = job(7, "golden-debian", state, kind="export", stages=views, task_id=TASK, disks=(disk,), target=OBJECT)
    return replace(view, **fields)  # type: ignore[arg-type]


async def test_what_can_be_exported_and_the_first_reason_why_not() -> None:
    async with exports() as (pilot, _):
        text = screen_text(pilot)
        assert "Instances and AMIs 3" in text
        assert "Exports 3" in text
        for words in (
            "instance web-01",
            "AMI      golden-debian",
            "✖ comes from the AWS Mark",
            "✔ can be exported",
        ):
            assert words in text
        await press(pilot, "slash", *"marketplace", "enter")
        assert "shop-02" in screen_text(pilot)
        assert "web-01" not in screen_text(pilot)
        await press(pilot, "enter")
        whole = screen_text(pilot)
        assert "2 CPUs, 4,096 MiB" in whole
        assert "F300" not in whole, "ids of facts are for the code"
        await press(pilot, "escape", "escape")
        assert "web-01" in screen_text(pilot)


async def test_the_exports_with_their_jobs() -> None:
    waiting = export_job(JobState.QUEUED, Stage.CHECK, id="j-2", task_id="", name="web-01", message="waits")
    async with exports(FakeOperations(jobs=[export_job(), waiting])) as (pilot, _):
        await press(pilot, "tab")
        text = screen_text(pilot)
        for words in ("○ queued", "▶ active 40%", "✖ failed", "golden-debian", "multiple volumes attached"):
            assert words in text
        rows = pilot.app.screen.query_one("#exports").rows  # type: ignore[attr-defined]
        assert [row.job.id if row.job else "" for row in rows] == ["j-2", "", "job0007", ""]
        await press(pilot, "down", "down")
        assert OBJECT in screen_text(pilot).replace("\n           ", "")
        assert "Job       job0007: running" in screen_text(pilot)
        await press(pilot, "enter")
        assert "export golden-debian" in screen_text(pilot)


async def test_trouble_is_said_and_what_was_read_stays() -> None:
    operations = FakeOperations()
    operations.exports.errors = {"sources": ServiceError(ErrorKind.PERMISSION, "AWS refuses", remedy="Ask for it")}
    async with exports(operations) as (pilot, _):
        text = screen_text(pilot)
        assert "AWS refuses" in text
        assert "instance web-01" in text
        operations.exports.errors = {}
        await press(pilot, "r")
        assert "golden-debian" in screen_text(pilot)
        await press(pilot, "R", "home", *["delete"] * 9, *"us-east-1", "enter", "right")
        await press(pilot, "tab")
        await press(pilot, "enter")
        await until(pilot, lambda: ("sources", "us-east-1") in operations.exports.asked, "the other Region")


async def test_an_image_is_exported_downloaded_and_converted_by_a_job(tmp_path: Path) -> None:
    async with exports() as (pilot, operations):
        await press(pilot, "G", "x")
        form = pilot.app.screen
        assert isinstance(form, ExportFormScreen)
        assert f"s3://{BUCKET}/vmie/export-ami-….vmdk" in screen_text(pilot)
        assert not form.query("#target")
        await press(pilot, "space", "space")  # VMDK, VHD, RAW
        form.query_one("#convert_to", Input).value = "vhd"
        await settle(pilot)
        assert "wants a folder to download to" in screen_text(pilot)
        assert form.query_one("#start", Button).disabled
        form.query_one("#download_to", Input).value = str(tmp_path)
        await settle(pilot)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobsScreen), "the jobs")
        [plan] = operations.jobs.submitted
        assert plan == ExportPlan(
            "prod",
            IMAGE,
            "golden-debian",
            "eu-west-1",
            BUCKET,
            "vmie/",
            ExportFormat.RAW,
            download_to=str(tmp_path),
            convert_to="vhd",
        )


async def test_the_bucket_is_opened_only_after_its_change_was_shown() -> None:
    operations = FakeOperations()
    operations.exports.report = closed_bucket()
    async with exports(operations) as (pilot, _):
        await press(pilot, "x")
        assert "the export service may not write to the bucket" in screen_text(pilot)
        await press(pilot, "ctrl+g")
        assert isinstance(pilot.app.screen, DiffScreen)
        text = screen_text(pilot)
        assert "PutBucketAcl" in text and "F275" not in text
        assert '+      "Permission": "WRITE"' in text
        await press(pilot, "enter")  # the safe answer has the focus
        assert ("grant", BUCKET) not in operations.exports.asked
        await press(pilot, "ctrl+g", "right", "enter")
        await until(pilot, lambda: ("grant", BUCKET) in operations.exports.asked, "the change made")
        await settle(pilot)
        assert "may not write" not in screen_text(pilot)
        await press(pilot, "ctrl+g")
        assert "needs no change" in told(pilot)


async def test_a_blocked_one_starts_only_when_its_name_is_typed() -> None:
    async with exports() as (pilot, operations):
        await press(pilot, "down", "x", "ctrl+s")
        assert isinstance(pilot.app.screen, ForceScreen)
        assert "To export it all the same" in screen_text(pilot)
        await press(pilot, "escape")
        assert not operations.jobs.submitted
        await press(pilot, "ctrl+s", *"shop-02", "enter")
        await until(pilot, lambda: operations.jobs.submitted, "submitted")
        [plan] = operations.jobs.submitted
        assert isinstance(plan, ExportPlan)
        assert plan.source_id == SOLD
        assert plan.override


async def test_another_bucket_is_read_when_its_name_is_entered_and_a_refusal_is_said() -> None:
    async with exports() as (pilot, operations):
        await press(pilot, "x")
        bucket = pilot.app.screen.query_one("#bucket", Input)
        bucket.focus()
        bucket.value = "other-bucket"
        await press(pilot, "enter")
        await until(
            pilot, lambda: ("bucket", "other-bucket", True) in operations.exports.asked, "the other bucket read"
        )
        await settle(pilot)
        operations.jobs.submit_errors = {INSTANCE: ServiceError(ErrorKind.REFUSED, "the profile is read-only")}
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "was not started" in told(pilot), "refused")
        assert isinstance(pilot.app.screen, ExportFormScreen)


def test_the_targets_of_an_instance_bring_their_formats() -> None:
    draft = ExportDraft(INSTANCE, "web-01", "eu-west-1", bucket=BUCKET, download_to="/no/such/folder")
    assert draft.plan().container is Container.OVA
    draft.choose_target("microsoft")
    plan = draft.plan()
    assert (plan.target_environment, plan.format, plan.container) == (
        TargetEnvironment.MICROSOFT,
        ExportFormat.VHD,
        Container.NONE,
    )
    assert draft.mistakes() == {"download_to": "there is no such folder"}
    draft.download_to, draft.convert_to, draft.clean_up = "", "png", True
    assert set(draft.mistakes()) == {"convert_to", "download_to"}


async def test_the_target_is_chosen_on_the_form() -> None:
    async with exports() as (pilot, _):
        await press(pilot, "x", "space")
        assert pilot.app.screen.query_one("#form", ChoiceList).value == "VHD/"
        assert "export-i-….vhd" in screen_text(pilot)


async def test_a_finished_export_is_verified_and_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with exports() as (pilot, operations):
        await press(pilot, "tab", "v")
        assert "Only a completed export" in told(pilot)
        await press(pilot, "down", "down")
        operations.exports.gate = threading.Event()
        await pilot.press("v", "enter")
        await until(pilot, lambda: "download 50% of 100 MiB" in screen_text(pilot), "half way")
        await pilot.press("v")
        assert "Still busy" in told(pilot)
        await press(pilot, "escape")
        await until(pilot, lambda: "download 50%" not in screen_text(pilot), "stopped")
        operations.exports.gate = None
        await press(pilot, "v", "enter")
        await until(pilot, lambda: "equal to the object by its CRC64NVME" in told(pilot), "done")
        assert "✔" in screen_text(pilot)
        assert operations.exports.asked[-1] == ("fetch", TASK, str(tmp_path))


async def test_read_only_looks_and_starts_nothing() -> None:
    operations = FakeOperations()
    operations.profile = replace(operations.profile, read_only=True)
    async with exports(operations) as (pilot, _):
        assert "READ-ONLY" in screen_text(pilot)
        await press(pilot, "x")
        assert isinstance(pilot.app.screen, ExportsScreen)
        assert "read-only" in told(pilot)
        await press(pilot, "enter", "x")
        assert not isinstance(pilot.app.screen, ExportFormScreen)


def test_jobs_speak_of_exports_as_exports() -> None:
    text = "\n".join("".join(part for part, _ in line) for line in job_lines(export_job(), [], 78))
    assert f"Object    {TASK}.vmdk, 50 MiB" in text
    assert "Download" in text
    for words in ("import", "sha256", "AMI  "):
        assert words not in text


async def test_keys_of_imports_say_that_an_export_is_none() -> None:
    done = export_job(JobState.DONE, Stage.FINISH, message=f"done: {OBJECT}", fraction=1.0)
    async with running(FakeOperations(jobs=[done])) as pilot:
        await press(pilot, "2")
        assert "v proof" not in screen_text(pilot)
        await press(pilot, "v", "a", "b")
        assert told(pilot).count("is no import") == 3
        await press(pilot, "y")
        assert OBJECT in pilot.app.operations.saved["job-job0007.txt"]  # type: ignore[attr-defined]


async def test_an_export_goes_back_into_vcenter() -> None:
    async with exports() as (pilot, operations):
        await press(pilot, "G", "x", "ctrl+t")
        screen = pilot.app.screen
        assert isinstance(screen, DeployScreen)
        text = screen_text(pilot)
        assert "golden-debian in DC1/cl-01 on DC1/vmfs-ssd, no network" in text
        assert "it is in maintenance mode" in text
        screen.query_one("#deploy_name", Input).value = "web-99"
        await press(pilot, *["tab"] * 3, "down", "space", "tab", "down", "space", "tab", "tab", "enter")
        form = pilot.app.screen
        assert isinstance(form, ExportFormScreen)
        found = form.query_one("#found", LinePane).plain()
        assert "web-99 in DC1/cl-01 on DC1/vmfs-ssd, folder DC1/Production/Web, network DC1/VLAN 20" in " ".join(
            found.split()
        )
        assert "no network card" not in found
        await press(pilot, "ctrl+y")
        words = shlex.split(operations.saved["export.sh"])
        assert words[:5] == ["vmie-tui", "--profile", "prod", "export", IMAGE]
        options = dict(zip(words[5::2], words[6::2], strict=True))
        assert (options["--deploy"], options["--pool"], options["--datastore"]) == (
            "web-99",
            "DC1/cl-01",
            "DC1/vmfs-ssd",
        )
        assert (options["--folder"], options["--network"]) == ("DC1/Production/Web", "DC1/VLAN 20")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: operations.jobs.submitted, "submitted")
        [plan] = operations.jobs.submitted
        assert isinstance(plan, ExportPlan)
        assert plan.deploy == DeployTarget(
            "web-99", "resgroup-1", "ds-2", "group-v2", "network-1", cpus=2, memory_mib=4096
        )


async def test_what_can_be_used_follows_the_pool_and_the_considerations_are_shown() -> None:
    async with exports() as (pilot, _):
        await press(pilot, "G", "x", "ctrl+t", "tab", "down", "space")
        text = screen_text(pilot)
        assert "golden-debian in DC2/lab on DC2/nfs-lab" in text
        assert "vmfs-ssd" not in text
        pilot.app.screen.query_one("#yes", Button).press()
        await settle(pilot)
        text = " ".join(pilot.app.screen.query_one("#found", LinePane).plain().split())
        assert "the datastore has 20 GiB free, its disks may need 40 GiB" in text
        assert "gets no network card" in text
        assert "2 CPUs and 4,096 MiB" in text
        await press(pilot, "ctrl+t")
        assert "(•) DC2 itself" in screen_text(pilot)
        assert "in DC2/lab on DC2/nfs-lab" in screen_text(pilot), "what was chosen is still chosen"
        pilot.app.screen.query_one("#no", Button).press()
        await settle(pilot)
        form = pilot.app.screen
        assert isinstance(form, ExportFormScreen)
        assert form.draft.plan().deploy is None
        assert "network card" not in screen_text(pilot)


async def test_a_vcenter_that_cannot_be_read_says_why_and_is_read_again() -> None:
    async with exports() as (pilot, operations):
        operations.vcenter.inventory_error = ServiceError(
            ErrorKind.NETWORK, "vCenter cannot be reached", retry_safe=True
        )
        await press(pilot, "G", "x", "ctrl+t")
        assert "vCenter cannot be reached" in screen_text(pilot)
        yes = pilot.app.screen.query_one("#yes", Button)
        assert yes.disabled
        operations.vcenter.inventory_error = None
        await press(pilot, "ctrl+r")
        assert not yes.disabled
        pilot.app.screen.query_one("#deploy_name", Input).value = ""
        await settle(pilot)
        assert yes.disabled
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, ExportFormScreen)
