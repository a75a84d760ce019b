"""``tasks``, ``task`` and ``export`` against a simulated AWS with a past of tasks, two accounts and one bad Region."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_clients import REGION, Kit, bucket_for_exports, launch, linux_disk, roles_for, running
from tests.kits.aws_world import settings_for
from vmie_tui import cli
from vmie_tui.commands import task as commands
from vmie_tui.commands import tasks
from vmie_tui.commands.export import draft_of
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_LOGIN, EXIT_OK, EXIT_REFUSED
from vmie_tui.model.export import Container, ExportFormat, ExportPlan, TargetEnvironment
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.services.task_history import History
from vmie_tui.simulators.control import Fault, TlsFiles

OTHER, OTHER_KEY, OUT = "444455556666", "AKIAI44QH8DHBEXAMPLE", "cli-export-bucket"
CONFIG = """
default_profile = "prod"
[profiles.prod.aws]
region = "{region}"
endpoint_url = "{url}"
ca_bundle = "{ca}"
credentials_file = "{folder}/credentials"
bucket = "{bucket}"
prefix = "out"
[profiles.test.aws]
profile = "test"
region = "{region}"
endpoint_url = "{url}"
ca_bundle = "{ca}"
credentials_file = "{folder}/credentials"
[profiles.strange.aws]
region = "{region}"
credentials_file = "{folder}/none"
"""


@pytest.fixture(scope="module")
def places(kit: Kit) -> list[str]:
    return kit.sim.seed_history(200, 4)


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("desk"), max_tasks=50) as kit:
        kit.sim.add_account(OTHER, OTHER_KEY)
        kit.sim.seed_history(60, 2, OTHER)
        bucket_for_exports(kit, OUT)
        roles_for(kit, OUT)
        yield kit


@pytest.fixture(scope="module")
def image(kit: Kit) -> str:
    kit.put("disk.vmdk", linux_disk(kit.folder)[1])
    return str(kit.ended(kit.import_image("disk.vmdk")["ImportTaskId"])["ImageId"])


@pytest.fixture
def folder(kit: Kit, tls: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    settings_for(kit.sim, tls, tmp_path)
    credentials = tmp_path / "credentials"
    own = credentials.read_text()
    other = own.replace("[default]", "[test]").replace(kit.sim.access_key, OTHER_KEY)
    credentials.write_text(own + other)
    text = CONFIG.format(region=REGION, url=kit.sim.url, ca=tls.ca, folder=tmp_path, bucket=OUT)
    (tmp_path / "config.toml").write_text(text)
    monkeypatch.setenv("VMIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("VMIE_CONFIG_FILE", str(tmp_path / "config.toml"))
    monkeypatch.setattr(commands, "LOOK_SECONDS", 0.05)
    yield tmp_path
    kit.sim.faults.clear()


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[ExportPlan]:
    """Jobs are recorded; no worker is started."""
    plans: list[ExportPlan] = []
    original = Jobs.submit
    monkeypatch.setattr(Jobs, "ensure_worker", lambda self: None)
    monkeypatch.setattr(Jobs, "submit", lambda self, plan: (plans.append(plan), original(self, plan))[1])
    return plans


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = EXIT_OK) -> Any:
    """A command's JSON, or its text."""
    assert cli.main(list(words)) == code, capsys.readouterr().err
    text = capsys.readouterr().out
    return json.loads(text) if "--json" in words or "--raw" in words else text


def test_the_list(folder: Path, places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    own = run(capsys, "tasks", "--json")
    assert {task["region"] for task in own} == {REGION} and {task["profile"] for task in own} == {"prod"}
    every = run(capsys, "tasks", *[word for place in places for word in ("--region", place)], "--json")
    assert {task["region"] for task in every} == set(places) and len(every) > len(own)
    assert run(capsys, "tasks", "--history", "--state", "bogus", "--json") == []
    failed = run(capsys, "tasks", "--history", "--state", "failed", "--kind", "import-image", "--json")
    assert failed and {(task["outcome"], task["kind"]) for task in failed} == {("failed", "import image")}
    lines = run(capsys, "tasks", "--history", "--region", REGION, "--sort", "id").splitlines()
    assert lines[0].split()[:3] == ["TASK", "KIND", "STATE"] and len(lines) == len(own) + 1
    assert [line.split()[0] for line in lines[1:]] == sorted(task["id"] for task in own)
    some = own[0]["id"]
    assert [task["id"] for task in run(capsys, "tasks", "--history", "--text", some, "--json")] == [some]
    assert run(capsys, "tasks", "--history", "--age", "1h", "--text", f"!{some} {some}", "--json") == []
    assert cli.main(["tasks", "--age", "soon"]) == 2
    offline = run(capsys, "tasks", "--history", "--region", "all", "--json")
    assert {task["id"] for task in offline} == {task["id"] for task in every}


def test_all_regions_of_one_kind(folder: Path, places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "tasks", "--region", "all", "--kind", "conversion", "--json")
    assert {task["region"] for task in found} <= set(places) and len({task["region"] for task in found}) > 1
    assert {task["kind"] for task in found} == {"conversion"}


def test_a_region_that_denies_is_named(kit: Kit, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit.sim.faults.add(Fault("*", "deny", times=None, region="us-east-1"))
    assert cli.main(["tasks", "--region", REGION, "--region", "us-east-1"]) == EXIT_OK
    captured = capsys.readouterr()
    assert "us-east-1 (prod) denies access" in captured.err and REGION in captured.out
    assert cli.main(["tasks", "--region", "us-east-1"]) == EXIT_FAILED


def test_all_profiles_side_by_side(folder: Path, places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tasks", "--profile-all", "--json"]) == EXIT_OK
    captured = capsys.readouterr()
    assert {task["profile"] for task in json.loads(captured.out)} == {"prod", "test"}
    assert captured.err.startswith("strange: "), "a profile that cannot sign in stops no other"
    assert cli.main(["--profile", "strange", "tasks"]) in {EXIT_LOGIN, EXIT_OK}


def test_a_bundle_without_credentials_does_not_say_that_the_task_is_unknown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What kept us from asking is said, not that AWS knows nothing."""
    assert cli.main(["--profile", "strange", "bundle", "import-ami-0123456789abcdef0"]) == EXIT_LOGIN
    error = capsys.readouterr().err
    assert "credentials" in error and "no such task" not in error


def test_watching_says_what_changes(
    kit: Kit, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.put("watched.vmdk", linux_disk(kit.folder)[1])
    ident = kit.import_image("watched.vmdk")["ImportTaskId"]
    rounds = iter(range(3))

    def sleep(_: float) -> None:
        if next(rounds) == 1:
            raise KeyboardInterrupt
        kit.ended(ident)

    monkeypatch.setattr(tasks.time, "sleep", sleep)
    from vmie_tui.services.aws.vmie.explorer import Explorer

    monkeypatch.setattr(Explorer, "_due", lambda self, cell: 0.0)
    monkeypatch.setattr("vmie_tui.services.aws.vmie.explorer.LIVE_SECONDS", 0.0)
    assert cli.main(["tasks", "--watch", "--plain", "--kind", "import-image", "--text", ident]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == [ident, ident]
    assert "active" in lines[0] and "completed" in lines[1]


def test_one_task_in_full(kit: Kit, folder: Path, places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    every = run(capsys, "tasks", "--region", "us-east-1", "--json")
    failed = next(t for t in every if t["outcome"] == "failed" and t["region"] != REGION)
    found = run(capsys, "task", failed["id"], "--json", code=EXIT_FAILED)
    assert found["region"] == failed["region"], "it was seen there"
    assert found["explanation"]["matches"] and found["changes"]
    text = run(capsys, "task", failed["id"], code=EXIT_FAILED)
    assert "remedy" in text and failed["id"] in text
    report = run(capsys, "task", failed["id"], "--markdown", code=EXIT_FAILED)
    assert report.startswith("# ") and "## Timeline" in report and "Remedy" in report
    raw = run(capsys, "task", failed["id"], "--raw", code=EXIT_FAILED)
    assert failed["id"] in raw.values()
    assert cli.main(["task", "import-ami-0fffffffffffffff0"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "AWS knows no such task" in said and "--region all" in said
    assert cli.main(["task", "vol-1"]) == 2


def test_what_aws_forgot_is_shown(kit: Kit, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit.put("old.vmdk", linux_disk(kit.folder)[1])
    ident = kit.import_image("old.vmdk")["ImportTaskId"]
    assert run(capsys, "task", ident, "--json")["id"] == ident
    kit.ended(ident)
    assert run(capsys, "task", ident, "--watch", "--json")["outcome"] == "completed"
    kit.sim.clock.advance(9 * 86_400)
    assert run(capsys, "task", ident, "--json")["outcome"] == "completed"
    listed = run(capsys, "tasks", "--json")
    assert [task["forgotten"] for task in listed if task["id"] == ident] == [True]


def test_cancelling_is_asked_for_and_says_why_not(kit: Kit, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit.put("cancelled.vmdk", linux_disk(kit.folder)[1])
    ident = kit.import_image("cancelled.vmdk")["ImportTaskId"]
    assert cli.main(["task", ident, "--cancel"]) == 2, "without a terminal nobody can be asked"
    assert cli.main(["--read-only", "task", ident, "--cancel", "--yes"]) == EXIT_REFUSED
    assert "so nothing is cancelled" in capsys.readouterr().err
    assert run(capsys, "task", ident, "--cancel", "--yes", "--json")["state"] in {"deleting", "deleted"}
    kit.ended(ident)
    capsys.readouterr()
    assert cli.main(["task", ident, "--cancel", "--yes"]) == EXIT_FAILED
    assert "it is over: cancelled" in capsys.readouterr().err


# -- export


def test_a_dry_run_says_everything(
    kit: Kit, folder: Path, image: str, submitted: list[ExportPlan], capsys: pytest.CaptureFixture[str]
) -> None:
    instance = launch(kit, image)
    found = run(capsys, "export", instance, "--dry-run", "--json")
    assert found["key"] == "out/export-….ova" and found["changes"] == []
    assert {finding["fact"] for finding in found["findings"]} >= {"F313"}
    kit.client("s3").create_bucket(Bucket="cli-new", CreateBucketConfiguration={"LocationConstraint": REGION})
    text = run(capsys, "export", instance, "--bucket", "cli-new", "--dry-run", code=EXIT_REFUSED)
    assert "blocker" in text and "PutBucketAcl" in text and '+      "Permission": "READ_ACP"' in text
    assert cli.main(["export", instance, "--bucket", "cli-new"]) == EXIT_REFUSED
    assert "--grant" in capsys.readouterr().err and submitted == []
    assert cli.main(["--read-only", "export", instance, "--bucket", "cli-new", "--grant"]) == EXIT_REFUSED
    run(capsys, "export", instance, "--bucket", "cli-new", "--grant")
    assert submitted[0].bucket == "cli-new" and submitted[0].override == ()


def test_a_job_is_submitted(
    kit: Kit, folder: Path, image: str, submitted: list[ExportPlan], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--format", "VHD", "--download", str(folder), "--convert", "raw", "--tag", "a=b", "--json")
    found = run(capsys, "export", image, *words)
    [plan] = submitted
    assert ExportPlan.from_json(found["plan"]) == plan and plan.download_to == str(folder)
    assert (plan.format, plan.convert_to, plan.tags, plan.key_prefix) == (ExportFormat.VHD, "raw", {"a": "b"}, "out/")
    assert cli.main(["export", image, "--container", "ova"]) == EXIT_REFUSED
    assert "cannot be exported as OVA" in capsys.readouterr().err
    run(capsys, "export", image, "--container", "ova", "--force")
    assert submitted[-1].override
    for bad in (["vol-1"], [image, "--target", "vmware"], [image, "--convert", "raw"], [image, "--tag", "x"]):
        assert cli.main(["export", *bad]) == 2, bad
    assert cli.main(["export", "ami-0fffffffffffffff0"]) == EXIT_FAILED


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("VMDK", "ova", "vmware")),
        ({"form": "VMDK"}, ("VMDK", "", "vmware")),
        ({"form": "VHD"}, ("VHD", "", "microsoft")),
        ({"target": "citrix"}, ("VHD", "", "citrix")),
        ({"target": "vmware", "container": "none"}, ("VMDK", "", "vmware")),
        ({"target": "vmware", "container": "ova", "form": "VMDK"}, ("VMDK", "ova", "vmware")),
    ],
)
def test_what_follows_from_what(options: dict[str, str], expected: tuple[str, str, str]) -> None:
    names = ("target", "container", "form", "region", "bucket", "prefix", "role_name", "download", "convert_to")
    values = {name: options.get(name) for name in names}
    profile = ProfileInfo("p", region=REGION, bucket="b")
    plan = draft_of(profile, "i-1", **values, description="", tags=(), clean_up=False).plan()
    form, container, target = expected
    assert (plan.format, plan.container, plan.target_environment) == (
        ExportFormat(form),
        Container(container),
        TargetEnvironment(target),
    )


def test_the_history_is_private(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "tasks")
    history = History(folder / "state")
    assert history.path.stat().st_mode & 0o077 == 0
    history.close()
