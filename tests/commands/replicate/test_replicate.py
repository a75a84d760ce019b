"""``vmie-tui replicate`` against a simulated vCenter, AWS and clock; a scheduler without a worker moves the runs."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_world import BUCKET, REGION, settings_for, world
from tests.kits.waiting import wait_until
from vmie_tui import settings as settings_module
from vmie_tui.cli import main
from vmie_tui.clock import Clock, clock_of
from vmie_tui.commands import wait
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED
from vmie_tui.jobs.engine.context import AwsSessions
from vmie_tui.jobs.replication.scheduler import Scheduler
from vmie_tui.jobs.store.replications import Replications
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.plan import LicenseType, Route, TestLaunch, Via
from vmie_tui.model.replication import ReplicationPlan, ReplicationState, ReplicationView, RunFigures, Sync, Verify
from vmie_tui.model.task import JobState
from vmie_tui.operations import replication_jobs
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.replication_jobs import ReplicationJobs
from vmie_tui.services import pacing
from vmie_tui.settings import DEMO
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.launch import PROFILE_FILE
from vmie_tui.simulators.vcenter.server import VCenterSimulator

HOUR, DAY, MIB = 3600.0, 86_400.0, 1 << 20
USAGE = 2
PROFILE = """
[profiles.demo.vcenter]
host = "{vcenter.host}"
port = {vcenter.port}
user = "{vcenter.user}"
ca_file = "{vcenter.tls.ca}"
password_file = "{folder}/password"
[profiles.demo.aws]
region = "{region}"
endpoint_url = "{aws.url}"
ca_bundle = "{vcenter.tls.ca}"
credentials_file = "{folder}/credentials"
bucket = "{bucket}"
ami_name = "{{vm}}-{{date}}"
"""
REAL = '[profiles.real.aws]\nregion = "eu-west-1"\n'
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsSimulator]:
    with world(tls, tmp_path_factory.mktemp("aws")) as (simulator, _):
        yield simulator


class Desk:
    """A state folder of its own, and what the worker would do there."""

    def __init__(self, said: Said) -> None:
        self.said, self.settings = said, settings_module.load(DEMO)
        self.store = Store(self.settings.state_dir)
        self.client = ReplicationJobs(self.settings)
        self.clock: Clock = clock_of(self.settings.state_dir, self.settings.profile())
        self.scheduler = Scheduler(self.settings, self.store, AwsSessions())

    def __call__(self, *words: str, code: int = EXIT_OK, before: tuple[str, ...] = ()) -> Any:
        """A command's JSON, or its text."""
        self.said.readouterr()
        got = main(["--profile", DEMO, *before, "replicate", *words])
        self.written = self.said.readouterr()
        assert got == code, (got, self.written)
        text = self.written.out
        return json.loads(text) if "--json" in words and text else text

    def refused(self, *words: str, code: int = EXIT_REFUSED, before: tuple[str, ...] = ()) -> str:
        """What is said of a command that fails; nothing is data then."""
        self(*words, code=code, before=before)
        assert not self.written.out
        return self.written.err

    def create(self, name: str = "repl-01", *words: str) -> str:
        return str(self("create", name, *(words or ("--every", "12", "--keep", "2")))).strip()

    def view(self, ident: str) -> ReplicationView:
        return self.client.view(ident)

    def plan_of_job(self, job_id: str) -> ReplicationPlan:
        plan = self.store.record(job_id).plan
        assert isinstance(plan, ReplicationPlan)
        return plan

    def work(self, job_id: str, *, moved: int = 41 * MIB, end: JobState = JobState.DONE) -> None:
        """What a worker does of a run, in no time: its figures, its AMI, its end."""
        plan, now = self.plan_of_job(job_id), self.clock.now()
        replications = Replications(self.store)
        self.store.become(job_id, JobState.RUNNING)
        replications.begin(plan.run, now)
        if end is JobState.DONE:
            sync = Sync.CHANGED if len(self.view(plan.replication).runs) > 1 else Sync.FIRST
            figures = RunFigures(sync, "", moved - MIB, moved, 200 * MIB, 40.0, 12.0, verified=9, frozen=now)
            replications.figures(plan.run, figures)
            self.store.update(job_id, image_id=f"ami-{plan.run[-8:]}{'0' * 9}")
            replications.end(plan.run, now + 52)
        self.store.become(job_id, end)
        self.scheduler.tick()

    def run(self, ident: str, **how: Any) -> str:
        """The run that is due, done; its id."""
        self.scheduler.tick()
        current = self.view(ident).current
        assert current is not None
        self.work(current.job_id, **how)
        return current.id

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.scheduler.tick()


@pytest.fixture
def desk(
    vcenter: VCenterSimulator,
    aws: AwsSimulator,
    tls: TlsFiles,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
) -> Iterator[Desk]:
    folder = Path(os.environ["VMIE_STATE_DIR"]) / DEMO
    folder.mkdir(parents=True, mode=0o700)
    (folder / "password").write_text(vcenter.password)
    (folder / "password").chmod(0o600)
    settings_for(aws, tls, folder)
    text = PROFILE.format(vcenter=vcenter, aws=aws, folder=folder, region=REGION, bucket=BUCKET)
    (folder / PROFILE_FILE).write_text(text)
    (own_home / "config.toml").write_text(REAL)
    monkeypatch.setattr(replication_jobs, "ensure_worker", lambda settings: None)
    monkeypatch.setattr(Jobs, "ensure_worker", lambda self: None)
    monkeypatch.setattr(wait, "LOOK_SECONDS", 0.0)
    made = Desk(capsys)
    yield made
    made.client.close()
    made.store.close()


# -- create


def test_several_machines_get_one_each(desk: Desk) -> None:
    words = ("--every", "12", "--keep", "5", "--start", "+2h", "--tag", "a=b", "--group", "shop", "--order", "2")
    views = desk("create", "repl-01", "repl-02", *words, "--no-quiesce", "--verify", "all", "--json")
    assert [view["name"] for view in views] == ["repl-01", "repl-02"]
    view = desk.view(views[0]["id"])
    spec, plan = view.spec, view.spec.plan
    assert (spec.every_hours, spec.keep, spec.verify, spec.group, spec.order) == (12, 5, Verify.ALL, "shop", 2)
    assert (plan.route, plan.via, plan.license_type, plan.quiesce) == (
        Route.IMAGE_DIRECT,
        Via.EBS,
        LicenseType.BYOL,
        False,
    )
    assert plan.tags == {"a": "b"} and plan.bucket == ""
    assert plan.ami_name == "{vm}-{date}", "each run has a date of its own"
    assert view.next_run == spec.start and 7100 < spec.start - view.now <= 7200
    assert f"DC1/Test/Running/repl-01: replication {view.id}, 12 h, from " in desk.written.err


def test_the_name_of_an_ami_has_the_day_of_its_run(desk: Desk) -> None:
    ident = desk.create()
    desk.scheduler.tick()
    first = desk.view(ident).runs[0]
    desk.work(first.job_id)
    desk.later(3 * DAY)
    second = desk.view(ident).runs[0]
    names = [desk.plan_of_job(run.job_id).ami_name for run in (first, second)]
    assert names[0].startswith("repl-01-2") and names[0][:18] != names[1][:18]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--license", "byol"), LicenseType.BYOL),
        (("--license", "auto"), LicenseType.BYOL),
        (("--route", "unmodified"), None),
    ],
)
def test_licences_and_routes(desk: Desk, words: tuple[str, ...], expected: LicenseType | None) -> None:
    plan = desk.view(desk.create("repl-02", "--once", *words)).spec.plan
    assert (plan.license_type, plan.via) == (expected, Via.EBS)


def test_a_dry_run_says_what_is_found_and_records_nothing(desk: Desk) -> None:
    found = desk("create", "repl-01", "vsan-01", "--every", "12", "--dry-run", "--json", code=EXIT_REFUSED)
    assert [each["name"] for each in found] == ["repl-01", "vsan-01"]
    assert found[0]["spec"]["every_hours"] == 12 and found[0]["spec"]["plan"]["license_type"] == "BYOL"
    facts = [{(finding["severity"], finding["fact"]) for finding in each["findings"]} for each in found]
    assert ("blocker", "F424") in facts[1] and ("info", "F434") in facts[0]
    assert not [severity for severity, _ in facts[0] if severity == "blocker"]
    text = desk("create", "repl-01", "--every", "12", "--keep", "5", "--dry-run")
    assert "licence auto: BYOL, the only one there is for Linux" in text
    assert "plan     repl-01: 12 h from " in text and "the newest 5 AMIs stay" in text
    assert desk.client.views() == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("repl-01",), USAGE, "--every HOURS, or --once"),
        (("repl-01", "--every", "12", "--once"), USAGE, "choose one"),
        (("repl-01", "--every", "0"), USAGE, "--once is a one-time migration"),
        (("repl-01", "--every", "25"), EXIT_REFUSED, "an interval of 25 h is not possible. 1 to 24 hours"),
        (("repl-01", "--every", "12", "--start", "+31d"), USAGE, "more than 30 days ahead"),
        (("repl-01", "--every", "12", "--start", "soon"), USAGE, "is no time"),
        (("repl-01", "--every", "12", "--start", "2020-01-01"), USAGE, "in the past"),
        (("repl-01", "--once", "--start", "+2h", "--wait"), USAGE, "--wait belongs to a start now"),
        (("vsan-01", "--every", "12"), EXIT_REFUSED, "its disks are on vSAN"),
        (("rdm-01", "--every", "12", "--force-name", "rdm-01"), EXIT_REFUSED, "rdm-01"),
        (("repl", "--every", "12"), EXIT_FAILED, "Did you mean DC1/Test/Running/repl-01"),
        (("repl-01", "--every", "12", "--tag", "x"), USAGE, "KEY=VALUE"),
        (("repl-01", "--every", "12", "--force-name", "web-01"), USAGE, "none of the VMs"),
        (("repl-01", "--every", "12", "--ami-name", "a{nonsense}"), EXIT_REFUSED, "AMI name"),
    ],
)
def test_what_is_refused_says_why(desk: Desk, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in desk.refused("create", *words, code=code)
    assert desk.client.views() == []


def test_a_machine_is_replicated_once_at_a_time(desk: Desk) -> None:
    ident = desk.create()
    assert f"it is replicated already, by {ident}" in desk.refused("create", "repl-01", "--once")
    assert desk.view(desk.create("vsan-01", "--once")).spec.once, "vSAN: one-time only"


def test_without_vcenter_or_rights_nothing_is_recorded(desk: Desk) -> None:
    said = desk.refused("create", "repl-01", "--once", before=("--read-only",))
    assert "read-only" in said and desk.client.views() == []
    assert main(["--profile", "real", "replicate", "create", "repl-01", "--once"]) == USAGE
    assert "names no vCenter" in desk.said.readouterr().err


# -- looking


def test_the_list_has_what_the_screen_has(desk: Desk) -> None:
    ident = desk.create()
    head, row = desk("list").splitlines()
    assert " ".join(head.split()) == "REPLICATION SERVER EVERY NEXT RUN LAST RUN AMIS KEPT DAY STATE SAYS"
    assert row.split() == [ident, "repl-01", "12", "h", "due", "–", "0", "of", "2", "–", "pending"]
    desk.run(ident)
    row = desk("list").splitlines()[1]
    assert "in 11 h" in row and "41 MiB in 0:52" in row and "1 of 2" in row and " 1/90" in row and "active" in row
    desk.later(12 * HOUR)
    row = desk("list").splitlines()[1]
    assert "pending" in row, "of a run at work, how it stands"


def test_lists_are_paged(desk: Desk) -> None:
    made = [desk.create(name, "--once", "--start", "+2h") for name in ("repl-01", "repl-02", "nfs-01")]
    page = desk("list", "--max-items", "2", "--json")
    assert [view["id"] for view in page["replications"]] == [made[2], made[1]]
    rest = desk("list", "--starting-token", page["next_token"], "--json")
    assert [view["id"] for view in rest["replications"]] == [made[0]] and rest["next_token"] is None
    desk("list", "--max-items", "1")
    assert f"1 of 3; the list goes on with --starting-token {made[1]}" in desk.written.err
    assert "is not in this list" in desk.refused("list", "--starting-token", "sms-job-00000000", code=USAGE)
    assert desk("list", "--profile", "other", "--json")["replications"] == []


def test_one_in_full_and_its_runs(desk: Desk) -> None:
    ident = desk.create()
    first = desk.run(ident)
    desk.later(13 * HOUR)
    text = desk("show", "repl-01")
    for words in (
        f"replication  {ident}  repl-01  (demo)",
        "AMIs in eu-west-1, route image-direct",
        "every        12 h, from 20",
        "days         day 1 of 90",
        "AMIs kept    1 of 2",
        "licence      BYOL",
        "verify       sample",
        "AMI name     {vm}-{date}",
    ):
        assert words in text, words
    data = desk("show", ident[:12], "--json")
    assert data["id"] == ident and data["images"] == [f"ami-{first[-8:]}000000000"] and data["day"] == 1
    found = desk("runs", "repl-01", "--json")
    assert [run["state"] for run in found["runs"]] == ["MISSED", "COMPLETED"]
    assert found["runs"][1]["figures"]["moved"] == 41 * MIB
    table = desk("runs", ident, "--max-items", "1")
    assert "missed" in table and "nothing was at work" in table and first not in table
    assert "1 of 2; the list goes on" in desk.written.err
    table = desk("runs", ident)
    assert "first copy  40 MiB of 200 MiB  41 MiB in 0:52" in table and "automatic" in table


def test_moments_are_shown_in_the_users_zone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        ident = desk.create("repl-01", "--once", "--start", "+1h")
        start = desk.view(ident).spec.start
        assert f"next run     {datetime.fromtimestamp(start):%Y-%m-%d %H:%M} +0530 (in " in desk("show", ident)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_ids_and_names(desk: Desk) -> None:
    one, _ = desk.create(), desk.create("repl-02", "--once", "--start", "+2h")
    assert "there is no such replication" in desk.refused("show", "nosuch", code=EXIT_FAILED)
    assert "more than one replication starts like this" in desk.refused("show", "sms-job-", code=USAGE)
    assert desk("show", one[8:], "--json")["id"] == one, "without what all ids begin with"
    assert desk("runs", "nosuch", "--json", code=EXIT_FAILED)["error"]["kind"] == "not-found"


def test_watching_says_what_changes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = desk.create()
    looks = iter((lambda: desk.run(ident), lambda: None))

    def pause(*_: object) -> None:
        step: Callable[[], object] | None = next(looks, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(pacing, "pause", pause)
    lines = desk("list", "--watch", code=EXIT_INTERRUPTED).splitlines()
    assert len(lines) == 2 and "  pending  –  " in lines[0] and "41 MiB in 0:52" in lines[1]
    assert main(["replicate", "list", "--watch", "--json"]) == EXIT_INTERRUPTED
    assert json.loads(desk.said.readouterr().out)["id"] == ident


# -- changes


def test_edit_changes_what_is_given(desk: Desk) -> None:
    ident = desk.create()
    desk.run(ident)
    before = desk.view(ident).spec
    desk("edit", "repl-01", "--every", "6", "--next-run", "+30m", "--keep", "9", "--verify", "none", "--tag", "c=d")
    assert "next run " in desk.written.err
    view = desk.view(ident)
    assert (view.spec.every_hours, view.spec.keep, view.spec.verify) == (6, 9, Verify.NONE)
    assert view.spec.plan == replace(before.plan, tags={"c": "d"})
    assert view.next_run is not None and 1700 < view.next_run - view.now <= 1800
    made = desk(
        "edit", ident, "--license", "auto", "--description", "x {date}", "--no-quiesce", "--group", "g", "--json"
    )
    assert made["spec"]["plan"]["description"] == "x {date}" and made["spec"]["plan"]["license_type"] == "BYOL"
    assert made["spec"]["every_hours"] == 6 and made["spec"]["group"] == "g"
    assert "say what to change" in desk.refused("edit", ident, code=USAGE)
    assert "an interval of 25 h" in desk.refused("edit", ident, "--every", "25")
    assert "cannot be made one-time" in desk.refused("edit", ident, "--every", "0", code=USAGE)
    assert "encryption cannot be changed" in desk.refused("edit", ident, "--encrypted")
    assert "more than 30 days ahead" in desk.refused("edit", ident, "--next-run", "+31d", code=USAGE)
    assert "read-only" in desk.refused("edit", ident, "--keep", "1", before=("--read-only",))


def test_pause_resume_and_delete(desk: Desk) -> None:
    one, two = desk.create(), desk.create("repl-02", "--every", "24")
    assert desk("pause", "repl-01", two) == f"{one}\n{two}\n"
    assert [desk.view(ident).paused for ident in (one, two)] == [True, True]
    assert desk("list").count("pending, paused") == 2
    assert "cannot be paused" in desk.refused("pause", one, code=EXIT_FAILED)
    assert desk("resume", one, "--json")[0]["paused"] is False
    assert "--yes answers the question" in desk.refused("delete", two, code=USAGE)
    assert "read-only" in desk.refused("delete", two, "--yes", before=("--read-only",))
    assert desk("delete", two, "--yes", "--json")[0]["state"] == "DELETING"
    desk.scheduler.tick()  # a thread cleans up
    wait_until(lambda: desk.view(two).state is ReplicationState.DELETED, what="the clean-up")
    assert [view["id"] for view in desk("list", "--json")["replications"]] == [one]
    assert [view["id"] for view in desk("list", "--all", "--json")["replications"]] == [two, one]
    assert "cannot be resumed" in desk.refused("resume", two, code=EXIT_FAILED)
    desk("pause", one, "nosuch", code=EXIT_FAILED)
    assert not desk.view(one).paused, "none is touched when one is not known"


# -- runs


def test_two_runs_a_day_and_none_beside_another(desk: Desk) -> None:
    ident = desk.create()
    desk.scheduler.tick()
    assert "is in progress" in desk.refused("run", ident, code=EXIT_FAILED)
    desk.run(ident)
    made = desk("run", "repl-01", "--resync", "checksum", "--verify", "all", "--json")[0]
    plan = desk.plan_of_job(made["job_id"])
    assert (made["type"], plan.resync, plan.verify) == ("ON_DEMAND", Sync.CHECKSUM, Verify.ALL)
    desk.work(made["job_id"])
    second = desk("run", ident).strip()
    desk.work(next(run.job_id for run in desk.view(ident).runs if run.id == second))
    said = desk.refused("run", ident)
    assert "2 on-demand runs within 24 hours are the most" in said and "The next is possible in 23 h" in said
    assert "give IDs, or --group NAME" in desk.refused("run", code=USAGE)
    assert "belong to IDs" in desk.refused("run", "--group", "x", "--resync", "full", code=USAGE)


def test_a_group_starts_in_its_order(desk: Desk) -> None:
    first = desk.create("repl-02", "--every", "12", "--start", "+2h", "--group", "shop", "--order", "1")
    desk.create("repl-01", "--every", "12", "--start", "+2h", "--group", "shop", "--order", "2")
    made = desk("run", "--group", "shop", "--json")
    assert made[0]["replication_id"] == first
    assert [bool(run["job_id"]) for run in made] == [True, False]
    assert "waits for the servers of its group" in made[1]["message"]
    assert "no replication is in this group" in desk.refused("run", "--group", "other", code=EXIT_FAILED)


@pytest.fixture
def worker(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[JobState]:
    """Whoever waits for runs is served by a worker that ends each as told, in their order."""
    ends: list[JobState] = []

    def serve(self: Jobs) -> None:
        desk.scheduler.tick()
        queued = [view for view in self.jobs() if view.state is JobState.QUEUED]
        if queued:
            end = ends.pop(0)
            if end is JobState.NEEDS_LOGIN:
                desk.store.become(queued[-1].id, JobState.RUNNING)
                desk.store.become(queued[-1].id, end)
            else:
                desk.work(queued[-1].id, end=end)

    monkeypatch.setattr(Jobs, "ensure_worker", serve)
    return ends


def test_create_waits_for_the_first_run(desk: Desk, worker: list[JobState]) -> None:
    worker += [JobState.DONE, JobState.FAILED]
    text = desk("create", "repl-01", "--once", "--wait")
    assert "  repl-01  ami-" in text and "repl-01  done" in desk.written.err
    assert desk("create", "repl-02", "--once", "--wait", "--json", code=EXIT_FAILED)[0]["state"] == "FAILED"


def test_a_run_that_starts_between_two_looks_is_waited_for(
    desk: Desk, worker: list[JobState], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A one-time migration has no next time from the moment on that its run is recorded."""
    look = ReplicationJobs.view

    def view(self: ReplicationJobs, ident: str) -> ReplicationView:
        seen = look(self, ident)
        desk.scheduler.tick()
        return seen

    monkeypatch.setattr(ReplicationJobs, "view", view)
    worker.append(JobState.DONE)
    assert "  repl-01  ami-" in desk("create", "repl-01", "--once", "--wait")


def test_run_waits_and_says_what_came_of_it(desk: Desk, worker: list[JobState]) -> None:
    ident = desk.create()
    desk.run(ident)
    worker += [JobState.DONE, JobState.FAILED]
    assert desk("run", ident, "--wait").split()[1].startswith("ami-")
    assert desk("run", ident, "--wait", "--json", code=EXIT_FAILED)[0]["state"] == "FAILED"


def test_a_group_that_stops_does_not_wait_for_ever(desk: Desk, worker: list[JobState]) -> None:
    desk.create("repl-01", "--every", "12", "--start", "+2h", "--group", "shop", "--order", "1")
    desk.create("repl-02", "--every", "12", "--start", "+2h", "--group", "shop", "--order", "2")
    worker.append(JobState.NEEDS_LOGIN)
    desk("run", "--group", "shop", "--wait", code=4)
    assert "waits for repl-01, whose job " in desk.written.err and " says: needs login" in desk.written.err


def test_the_rest_of_a_group_is_missed_when_one_fails(desk: Desk, worker: list[JobState]) -> None:
    desk.create("repl-01", "--every", "12", "--start", "+2h", "--group", "shop", "--order", "1")
    desk.create("repl-02", "--every", "12", "--start", "+2h", "--group", "shop", "--order", "2")
    worker.append(JobState.FAILED)
    runs = desk("run", "--group", "shop", "--wait", "--json", code=EXIT_FAILED)
    assert [run["state"] for run in runs] == ["FAILED", "MISSED"]
    assert "repl-01, which comes before it in its group, did not complete" in desk.written.err


# -- days


def test_the_91st_day_and_an_extension(desk: Desk) -> None:
    ident = desk.create("repl-01", "--every", "24")
    desk.run(ident)
    desk.later(84 * DAY)
    desk.later(6.5 * DAY)
    view = desk.view(ident)
    assert view.terminated and view.day == 91
    assert "completed, days over" in desk("list")
    said = desk.refused("run", ident, code=EXIT_FAILED)
    assert "cannot be run" in said
    desk("extend", "repl-01", "--days", "30")
    assert "repl-01: 120 days, until 20" in desk.written.err
    assert desk.view(ident).state == "ACTIVE" and " 91/120" in desk("list")
    assert "365 days at a time" in desk.refused("extend", ident, "--days", "9999", code=USAGE)


def test_a_new_replication_of_a_machine_whose_days_are_over_is_refused(desk: Desk) -> None:
    ident = desk.create("repl-01", "--every", "24")
    desk.run(ident)
    desk("delete", ident, "--yes")
    desk.later(91 * DAY)
    assert "its 90 days of replication are over" in desk.refused("create", "repl-01", "--once")


# -- forecast, cutover, rollback


def test_a_forecast_in_words_and_figures(desk: Desk) -> None:
    ident = desk.create()
    assert "nothing can be said about a cutover" in desk("forecast", "repl-01")
    desk.run(ident)
    for _ in range(2):
        desk.later(12 * HOUR)
        desk.run(ident)
    desk.later(6 * HOUR)
    text = desk("forecast", "repl-01")
    assert "A cutover now keeps the machine off for about" in text and "every 1 h is the shortest" in text
    found = desk("forecast", ident, "--json")
    assert found["converges"] is True and found["delta_bytes"] > 0 and found["name"] == "repl-01"


def test_a_cutover_says_what_comes_and_asks(desk: Desk, worker: list[JobState]) -> None:
    ident = desk.create()
    assert "there is no AMI yet" in desk.refused("cutover", ident, "--test", code=EXIT_FAILED)
    worker.append(JobState.DONE)
    desk.run(ident)
    said = desk.refused("cutover", "repl-01", code=USAGE)
    assert "repl-01 is shut down by VMware Tools" in said and "--yes answers the question" in said
    assert "forecast: " in said and "its schedule is paused" in said
    assert "belongs to a cutover" in desk.refused("cutover", ident, "--test", "--verify", "all", code=USAGE)
    assert "read-only" in desk.refused("cutover", ident, "--yes", before=("--read-only",))
    words = ("--instance-type", "t3.small", "--subnet", "subnet-1", "--key-name", "mine", "--verify", "all")
    runs = desk("cutover", "repl-01", *words, "--yes", "--wait")
    assert runs.startswith("sms-run-") and f"the way back: vmie-tui replicate rollback {ident}" in desk.written.err
    view = desk.view(ident)
    plan = desk.plan_of_job(view.runs[0].job_id)
    assert plan.shut_down and plan.verify is Verify.ALL
    assert plan.test_launch == TestLaunch("t3.small", "subnet-1", "mine", isolated=False)
    assert view.paused and view.next_run is None and "cutover" in desk("runs", ident)


def test_a_group_is_cut_over_in_its_order(desk: Desk) -> None:
    shop = ("--every", "12", "--start", "+2h", "--group", "shop")
    second, first = (desk.create(name, *shop, "--order", order) for name, order in (("repl-01", "2"), ("repl-02", "1")))
    assert "give an ID, or --group NAME" in desk.refused("cutover", code=USAGE)
    assert "give an ID, or --group NAME" in desk.refused("cutover", first, "--group", "shop", code=USAGE)
    for only in (("--test",), ("--verify", "all")):
        assert "belong to an ID" in desk.refused("cutover", "--group", "shop", *only, code=USAGE)
    assert "no replication is in this group" in desk.refused("cutover", "--group", "other", "--yes", code=EXIT_FAILED)
    said = desk.refused("cutover", "--group", "shop", code=USAGE)
    assert said.index("repl-02 is shut down by") < said.index("repl-01 is shut down by")
    made = desk("cutover", "--group", "shop", "--subnet", "subnet-1", "--yes", "--json")
    assert [each["replication_id"] for each in made] == [first, second] and all(each["cutover"] for each in made)
    assert "waits for the servers of its group" in made[1]["message"]
    plan = desk.plan_of_job(desk.view(first).runs[0].job_id)
    assert plan.shut_down and plan.test_launch == TestLaunch("", "subnet-1", isolated=False)


def test_only_what_was_shut_down_has_a_way_back(desk: Desk, worker: list[JobState]) -> None:
    shop = ("--every", "12", "--start", "+2h", "--group", "shop")
    first, second = (desk.create(name, *shop, "--order", order) for name, order in (("repl-01", "1"), ("repl-02", "2")))
    worker.append(JobState.FAILED)
    runs = desk("cutover", "--group", "shop", "--yes", "--wait", "--json", code=EXIT_FAILED)
    assert [run["state"] for run in runs] == ["FAILED", "MISSED"]
    assert f"rollback {first}" in desk.written.err and f"rollback {second}" not in desk.written.err


def test_a_rollback_wants_a_cutover(desk: Desk) -> None:
    ident = desk.create()
    desk.run(ident)
    assert "there is nothing to go back from" in desk.refused("rollback", ident, "--yes", code=EXIT_FAILED)
    assert "read-only" in desk.refused("rollback", ident, "--yes", before=("--read-only",))


# -- catalogue and clock


def test_the_catalogue(desk: Desk) -> None:
    none: dict[str, Any] = {"status": "NOT_IMPORTED", "modified": None, "servers": [], "next_token": None}
    assert desk("catalogue", "show", "--json") == none
    ident = desk.create("repl-01", "--once", "--start", "+2h")
    found = desk("catalogue", "import", "--json")
    assert found["status"] == "AVAILABLE" and found["modified"]
    server = next(each for each in found["servers"] if each["name"] == "repl-01")
    assert server["replication_id"] == ident and server["server_id"].startswith("s-")
    assert f"repl-01        {ident}" in desk("catalogue", "show")
    some = desk("catalogue", "show", "--max-items", "3", "--json")
    rest = desk("catalogue", "show", "--starting-token", some["next_token"], "--json")
    assert some["servers"] + rest["servers"] == found["servers"] and len(some["servers"]) == 3
    assert "--yes answers the question" in desk.refused("catalogue", "clear", code=USAGE)
    assert desk("catalogue", "clear", "--yes", "--json")["status"] == "DELETED"
    assert desk.view(ident).next_run, "replications go on"


def test_only_the_clock_of_simulators_is_set(desk: Desk) -> None:
    ident, now = desk.create("repl-01", "--every", "12", "--start", "+2h"), desk.clock.now()
    assert desk("advance", "3h", "--json")["now"] - now >= 3 * HOUR
    assert "3 h later" in desk.written.err
    desk.scheduler.tick()
    assert desk.view(ident).current is not None, "a first run starts late"
    assert "is no age such as 30m" in desk.refused("advance", "soon", code=USAGE)
    assert main(["--profile", "real", "replicate", "advance", "3h"]) == EXIT_REFUSED
    assert "follow the wall clock" in desk.said.readouterr().err


# -- jobs


def test_runs_are_jobs_like_any_other(desk: Desk) -> None:
    ident = desk.create()
    desk.run(ident)
    run = desk.view(ident).runs[0]
    desk.said.readouterr()
    assert main(["jobs"]) == EXIT_OK
    assert "replicate" in desk.said.readouterr().out
    assert main(["job", run.job_id]) == EXIT_OK
    text = desk.said.readouterr().out
    assert f"replicate repl-01  ({DEMO})" in text and ident in text and run.id in text
    assert main(["job", run.job_id, "--json"]) == EXIT_OK
    assert json.loads(desk.said.readouterr().out)["kind"] == "replicate"


@pytest.mark.parametrize("subject", ["replication", "run"])
def test_a_bundle_holds_the_replication_and_the_job_of_a_run(desk: Desk, tmp_path: Path, subject: str) -> None:
    ident = desk.create()
    desk.run(ident)
    (run,) = desk.view(ident).runs
    target = tmp_path / "bundle.zip"
    asked = ident if subject == "replication" else run.job_id
    assert main(["--profile", DEMO, "bundle", asked, "--history", "--output", str(target)]) == EXIT_OK
    with zipfile.ZipFile(target) as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist()}
    told = json.loads(held["replication.json"])
    assert (told["id"], [each["id"] for each in told["runs"]]) == (ident, [run.id])
    assert json.loads(held["job.json"])["id"] == run.job_id
    password = (desk.settings.state_dir / DEMO / "password").read_text()
    assert not any(password in text for text in held.values())
