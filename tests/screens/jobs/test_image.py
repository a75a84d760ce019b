"""After an import: the test instance, its console and picture, copies, names, deregistering; and the fallback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from textual.widgets import Button, Input

from tests.kits.driving import press, running, screen_text, settle, toasts, until
from tests.kits.fake_backend import FakeOperations, job, plan_of, proof_of, some_jobs, stages
from tests.kits.fake_images import INSTANCE, RUNNING
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import DiskProgress, StageState
from vmie_tui.model.plan import ObjectSource
from vmie_tui.model.task import JobState
from vmie_tui.operations.images import Launch, finished_import
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.form import FormScreen
from vmie_tui.screens.jobs.actions import no_fallback, no_image
from vmie_tui.screens.jobs.image import ImageScreen
from vmie_tui.screens.jobs.proof import ProofScreen
from vmie_tui.screens.jobs.screen import JobsScreen
from vmie_tui.widgets.line_view import LinePane

AMI = "ami-0ab12cd34ef567890"


def page(pilot) -> str:
    return pilot.app.screen.query_one("#after", LinePane).plain()


async def say_yes(pilot) -> None:
    button = pilot.app.screen.query_one("#yes", Button)
    await until(pilot, lambda: not button.has_class("-active"), "the button at rest")  # Textual ignores a second press
    pilot.app.screen.set_focus(button)
    await press(pilot, "enter")


@asynccontextmanager
async def after(operations: FakeOperations) -> Iterator:
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down", "down", "a")
        assert isinstance(pilot.app.screen, ImageScreen)
        yield pilot


def operations_with(*running_ids: str) -> FakeOperations:
    operations = FakeOperations(jobs=some_jobs())
    operations.images.running = running_ids
    return operations


async def test_its_help_is_of_what_comes_after_the_import() -> None:
    async with after(operations_with()) as pilot:
        await press(pilot, "question_mark")
        assert pilot.app.screen.query_one("#keys", LinePane).plain().startswith("After\n")


async def test_a_test_instance_is_launched_watched_and_looked_at() -> None:
    operations = operations_with()
    async with after(operations) as pilot:
        assert "legacy-bios" in page(pilot) and "snap-0123456789abcdef0 40 GiB" in page(pilot)
        await press(pilot, "c", "t", "s")
        assert toasts(pilot).count("There is no test instance") == 3
        await press(pilot, "l")
        assert isinstance(pilot.app.screen, FormScreen)
        assert "the VM's 2 CPUs and 4 GiB" in " ".join(screen_text(pilot).replace("│", " ").split())
        assert pilot.app.screen.query_one("#type", Input).value == "t3.medium"
        pilot.app.screen.query_one("#subnet", Input).value = "net-1"
        await say_yes(pilot)
        assert "A subnet reads like" in screen_text(pilot)
        pilot.app.screen.query_one("#subnet", Input).value = "subnet-0123456789abcdef0"
        await say_yes(pilot)
        await until(pilot, lambda: "initializing" in page(pilot), "the checks")
        wanted = Launch("t3.medium", "subnet-0123456789abcdef0", "", isolated=True)
        assert ("launch", "eu-west-1", AMI, wanted) in operations.images.asked
        await press(pilot, "l")
        assert "is there already" in toasts(pilot)
        await press(pilot, "c")
        assert "booting line 39" in page(pilot) and "\x1b" not in page(pilot)
        assert "login:" in screen_text(pilot)
        await press(pilot, "s")
        assert f"~/copied/{INSTANCE}.jpg" in page(pilot)
        operations.images.now = replace(RUNNING, instance_check="ok")
        pilot.app.screen._wake.set()
        await until(pilot, lambda: "It boots" in page(pilot), "the verdict")
        await press(pilot, "y")
        assert INSTANCE in operations.saved[f"{AMI}.txt"] and "booting" in operations.saved[f"{AMI}.txt"]


async def test_an_instance_that_is_there_is_taken_up_and_terminated_only_after_asking() -> None:
    operations = operations_with(INSTANCE)
    async with after(operations) as pilot:
        await until(pilot, lambda: "▶ running" in page(pilot), "the instance")
        await press(pilot, "t")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert f"Terminate {INSTANCE}?" in screen_text(pilot)
        assert pilot.app.focused is not None and pilot.app.focused.id == "no"
        await press(pilot, "enter")
        assert ("terminate", "eu-west-1", INSTANCE) not in operations.images.asked
        await press(pilot, "t", "tab", "enter")
        assert ("terminate", "eu-west-1", INSTANCE) in operations.images.asked
        await until(pilot, lambda: "■ terminated" in page(pilot), "the end")


async def test_copy_rename_deregister_and_delete_the_objects() -> None:
    operations = operations_with()
    disk = replace(some_jobs()[3].disks[0], s3_key="vmie/ubuntu-build-1/disk-1.vmdk")
    operations.jobs.job_views[3] = replace(operations.jobs.job_views[3], disks=(disk,))
    asked = operations.images.asked
    async with after(operations) as pilot:
        await press(pilot, "o", *"eu-west-1", "tab", "tab", "tab", "enter")
        assert "in this Region already" in screen_text(pilot)
        pilot.app.screen.query_one("#to", Input).value = "us-east-1"
        await say_yes(pilot)
        assert ("copy", "eu-west-1", AMI, "us-east-1", "ubuntu-build") in asked
        assert "ami-0c0ffee0c0ffee000 in us-east-1 is pending" in page(pilot)
        await press(pilot, "n", "end", *"-2", "tab", "tab", "enter")
        assert ("rename", "eu-west-1", AMI, "ubuntu-build-2") in asked
        assert "ubuntu-build-2" in page(pilot)
        await press(pilot, "x")
        assert "s3://migration-eu-west-1/vmie/ubuntu-build-1/disk-1.vmdk" in "".join(screen_text(pilot).split())
        await press(pilot, "tab", "enter", "x")
        assert ("delete_objects", "migration-eu-west-1", (disk.s3_key,)) in asked
        assert "left no object" in toasts(pilot)
        await press(pilot, "d")
        assert f"Deregister {AMI} ubuntu-build-2?" in screen_text(pilot)
        assert pilot.app.focused is not None and pilot.app.focused.id == "no"
        await press(pilot, "tab", "enter")
        assert "1 snapshot deleted" in page(pilot)
        await press(pilot, "l", "d")
        assert toasts(pilot).count("There is no AMI to work with") == 2


async def test_what_aws_refuses_is_said_and_the_page_goes_on() -> None:
    operations = operations_with()
    refused = ServiceError(ErrorKind.REFUSED, "cannot launch", subject=AMI, remedy="Ask AWS for a higher quota")
    operations.images.errors["launch"] = refused
    async with after(operations) as pilot:
        await press(pilot, "l")
        await say_yes(pilot)
        assert "cannot launch" in page(pilot) and "Ask AWS for a higher quota" in page(pilot)
        operations.images.errors.clear()
        await press(pilot, "r")
        assert "cannot launch" not in page(pilot)


async def test_an_ami_that_is_gone_or_pending_cannot_be_launched() -> None:
    operations = operations_with()
    operations.images.made = replace(operations.images.made, state="pending")
    async with after(operations) as pilot:
        await press(pilot, "l")
        assert "is pending" in toasts(pilot)
        operations.images.errors["image"] = ServiceError(ErrorKind.NOT_FOUND, "the AMI does not exist", subject=AMI)
        await press(pilot, "r")
        assert "the AMI does not exist" in page(pilot)


async def test_read_only_looks_but_changes_nothing() -> None:
    operations = operations_with(INSTANCE)
    operations.profile = replace(operations.profile, read_only=True)
    async with after(operations) as pilot:
        await until(pilot, lambda: "▶ running" in page(pilot), "the instance")
        await press(pilot, "l", "t", "o", "n", "d", "x", "c")
        assert toasts(pilot).count("read-only") == 6
        assert {name for name, *_ in operations.images.asked} == {"image", "instances", "console"}


@pytest.mark.parametrize(("given", "clean_up", "keys"), [(False, False, 1), (True, False, 0), (False, True, 0)])
def test_objects_that_were_given_or_are_gone_are_not_offered(given: bool, clean_up: bool, keys: int) -> None:
    disk = DiskProgress(1, "disk 1", 1, s3_key="vmie/a/disk-1.vmdk")
    plan = replace(plan_of("a"), clean_up=clean_up)
    if given:
        plan = replace(plan, source=ObjectSource("a", "images", ("a.vmdk",)))
    assert len(finished_import(replace(some_jobs()[3], disks=(disk,)), plan, None).keys) == keys


# -- the proof


async def test_the_proof_is_shown_disk_by_disk_and_copied() -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down", "down", "v")
        assert isinstance(pilot.app.screen, ProofScreen)
        text = pilot.app.screen.query_one("#proof", LinePane).plain()
        assert "✔ Equal: all that was compared is what the source sent." in text
        assert "64 of 64 sampled blocks equal" in text
        assert text.count("✔ equal") == 2 and "✔ 64 equal" in text
        await press(pilot, "b", "y")
        assert operations.jobs.changes == [("proof", "job0004"), ("proof of all", "job0004")]
        copied = operations.saved["proof-job0004.md"]
        assert (
            copied.startswith("# Proof of `ubuntu-build`") and "| disk 1 | ✔ equal | ✔ equal | ✔ 64 equal |" in copied
        )
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, JobsScreen)


async def test_a_proof_that_fails_says_what_differs_and_one_that_cannot_be_made_why() -> None:
    operations = FakeOperations(jobs=some_jobs())
    operations.jobs.proofs["job0004"] = proof_of(some_jobs()[3], same=False, different=(7, 9))
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down", "down", "v")
        text = pilot.app.screen.query_one("#proof", LinePane).plain()
        assert "✖ DIFFERENT: something in AWS is not what was sent" in text
        assert "✖ 2 of 64 differ" in text and "blocks 7, 9" in text
        assert "✖ DIFFERENT" in screen_text(pilot).splitlines()[2]
        operations.jobs.proof_error = ServiceError(
            ErrorKind.NETWORK, "no answer", subject="ebs.eu-west-1.amazonaws.com"
        )
        await press(pilot, "r")
        assert "no answer" in pilot.app.screen.query_one("#proof", LinePane).plain()
        await press(pilot, "escape", "down", "v")
        assert "win-file-01 is queued, and none of its disks is in AWS yet" in toasts(pilot)


# -- the fallback


async def test_a_failed_conversion_falls_back_to_the_bytes_in_aws() -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down")
        assert "b: an AMI of the bytes that are in AWS" in screen_text(pilot)
        assert "b use what is there" in screen_text(pilot).splitlines()[-1]
        await press(pilot, "b")
        words = " ".join(screen_text(pilot).replace("│", " ").split())
        assert "Import db-01 unmodified?" in words and "Disk validation failed" in words
        assert pilot.app.focused is not None and pilot.app.focused.id == "no"
        await press(pilot, "enter")
        assert operations.jobs.changes == []
        await press(pilot, "b", "tab", "enter")
        assert operations.jobs.changes == [("fallback", "job0003")]
        operations.jobs.job_views.insert(0, job(9, "db-01", JobState.QUEUED, id="job-new"))
        pilot.app.poll_now()
        screen = pilot.app.screen
        assert isinstance(screen, JobsScreen)
        await until(pilot, lambda: screen.table.current is not None and screen.table.current.id == "job-new")


async def test_a_refused_fallback_is_told() -> None:
    operations = FakeOperations(jobs=some_jobs())
    operations.jobs.fallback_error = ServiceError(ErrorKind.NOT_FOUND, "the object is gone", remedy="Import it again")
    async with running(operations) as pilot:
        await press(pilot, "2", "down", "down", "b", "tab", "enter")
        assert "the object is gone. Import it again" in toasts(pilot)


async def test_keys_that_do_not_apply_to_a_job_say_why() -> None:
    operations = FakeOperations(jobs=some_jobs())
    async with running(operations) as pilot:
        await press(pilot, "2", "b", "a")
        assert "web-01 is running: this is for imports that failed at the conversion." in toasts(pilot)
        assert "web-01 has no AMI yet: it is running." in toasts(pilot)
        operations.profile = replace(operations.profile, read_only=True)
        await press(pilot, "down", "down", "b")
        assert "nothing can be started from it" in toasts(pilot)
        assert isinstance(pilot.app.screen, JobsScreen)
        await settle(pilot)


async def test_a_job_that_moved_nothing_says_where_its_disks_are() -> None:
    disk = DiskProgress(1, "disk-1.vmdk", 1 << 29, snapshot_id="snap-0aa11bb22cc33dd44")
    view = replace(some_jobs()[3], stages=tuple(s for s in some_jobs()[3].stages if s.stage.value != "upload"))
    async with running(FakeOperations(jobs=[replace(view, disks=(disk,))])) as pilot:
        await press(pilot, "2")
        assert "512 MiB  in AWS already · snap-0aa11bb22cc33dd44" in screen_text(pilot)
        await press(pilot, "v")
        assert isinstance(pilot.app.screen, ProofScreen)


def test_why_not() -> None:
    done, failed = some_jobs()[3], some_jobs()[2]
    assert "is no import" in no_fallback(replace(failed, kind="export"))
    early = replace(failed, stages=stages(2, StageState.FAILED))
    assert "failed at upload, not at the conversion" in no_fallback(early)
    assert no_fallback(failed) == ""
    assert "made no AMI" in no_image(replace(done, image_id=""))
