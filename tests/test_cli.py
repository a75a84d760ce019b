"""The command line without any service: help, errors in one line, exit codes, what is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from vmie_tui import cli, settings
from vmie_tui.commands import root
from vmie_tui.commands.common import left_text, out, out_json, percent_text, say, table
from vmie_tui.commands.import_.command import allow
from vmie_tui.commands.inventory import matches
from vmie_tui.commands.wait import exit_code_of
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LOGIN, EXIT_OK
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.formatting import size
from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Disk, Machine
from vmie_tui.model.plan import ImportPlan, LicenseType, VmSource
from vmie_tui.model.task import JobState
from vmie_tui.operations.import_check import weigh
from vmie_tui.operations.import_plan import make_plan
from vmie_tui.operations.sources import find
from vmie_tui.settings import AwsSettings, Profile, VCenterSettings

COMMANDS = {
    "demo",
    "simulate",
    "inventory",
    "import",
    "jobs",
    "job",
    "cancel",
    "pause",
    "resume",
    "worker",
    "replicate",
}
DISK = Disk(2000, "Hard disk 1", 8 << 20)
PROFILE = Profile("p", VCenterSettings("vc", "u"), AwsSettings(region="eu-west-1", bucket="some-bucket"))


def linux(name: str, folder: tuple[str, ...] = ("A",)) -> Machine:
    return Machine(f"vm-{name}", name, datacenter="DC", folder=folder, guest_id="debian12_64Guest", disks=(DISK,))


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(root.cli)
    names = root.cli.list_commands(context)
    assert set(names) >= COMMANDS
    for words, command in commands_of(root.cli):
        assert command.name == words[-1]
        assert cli.main([*words, "--help"]) == 0
        assert " ".join(words) in capsys.readouterr().out
        assert command.help, words
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or isinstance(parameter.type, click.Choice), (words, parameter.name)


def commands_of(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that lead to it, those of groups in groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*before, name), command
        if isinstance(command, click.Group):
            yield from commands_of(command, *before, name)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["nonsense"], 2),
        (["import"], 2),
        (["jobs", "--nonsense"], 2),
        (["job", "nosuch"], 1),
        (["cancel", "nosuch"], 1),
        (["inventory"], 2),
        (["--profile", "nosuch", "inventory"], 2),
        (["worker", "--status"], 0),
        (["worker", "--stop"], 0),
        (["jobs"], 0),
        ([], 2),
    ],
)
def test_exit_codes(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    if code:
        assert captured.out == ""
        assert captured.err


def test_jobs_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(Path(os.environ["VMIE_STATE_DIR"]))
    job_id = store.create(ImportPlan("p", VmSource("vc", "vm-1", "web"), "eu-west-1", "b"))
    assert cli.main(["jobs", "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert job["id"] == job_id
    assert cli.main(["jobs"]) == 0
    captured = capsys.readouterr()
    assert job_id in captured.out
    assert "no worker is running" in captured.err


def test_a_bug_becomes_one_line_and_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setenv("VMIE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(settings, "load", broken)
    assert cli.main(["jobs"]) == EXIT_FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError" in line
    (report,) = tmp_path.glob("*crash*")
    assert "boom" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0


def test_broken_configuration_is_usage(capsys: pytest.CaptureFixture[str], own_home: Path) -> None:
    (own_home / "config.toml").write_text("nonsense = 1\n")
    assert cli.main(["jobs"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(settings, "load", interrupted)
    assert cli.main(["jobs"]) == EXIT_INTERRUPTED


def test_heavy_libraries_stay_out_of_light_commands() -> None:
    script = (
        "import sys\nfrom vmie_tui.cli import main\n"
        "assert main(['jobs']) == 0\n"
        "heavy = {'boto3', 'botocore', 'pyVmomi', 'dbos', 'moto', 'textual', 'isal'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_name_two_machines_have_lists_both_paths() -> None:
    machines = (linux("web"), linux("web", ("B",)))
    with pytest.raises(ServiceError) as raised:
        find(machines, "web")
    assert raised.value.kind is ErrorKind.INVALID
    assert "DC/A/web" in str(raised.value)
    assert "DC/B/web" in str(raised.value)
    assert find(machines, "DC/B/web") is machines[1]
    with pytest.raises(ServiceError) as raised:
        find(machines, "we")
    assert raised.value.kind is ErrorKind.NOT_FOUND
    assert "DC/A/web" in str(raised.value)


@pytest.mark.parametrize(
    ("terms", "fits"),
    [((), True), (("WEB",), True), (("web", "!debian"), False), (("dc/a",), True), (("!win",), True), (("!",), False)],
)
def test_filter_terms(terms: tuple[str, ...], fits: bool) -> None:
    assert matches(linux("web"), terms) is fits


def test_plan_takes_the_profile_and_the_only_licence_linux_has() -> None:
    plan = make_plan(PROFILE, linux("web"), ami_name="x")
    assert (plan.region, plan.bucket, plan.prefix) == ("eu-west-1", "some-bucket", "vmie/")
    assert plan.license_type is LicenseType.BYOL
    assert make_plan(PROFILE, linux("web"), usage_operation="RunInstances").license_type is None
    assert make_plan(PROFILE, linux("web"), prefix="").prefix == ""


def test_windows_server_wants_a_choice_of_licence(capsys: pytest.CaptureFixture[str]) -> None:
    server = Machine("vm-1", "win", guest_id="windows2019srv_64Guest", disks=(DISK,))
    plan = make_plan(PROFILE, server)
    assert plan.license_type is None
    with pytest.raises(ServiceError) as raised:
        allow(weigh(plan, server))
    assert raised.value.kind is ErrorKind.REFUSED


def view(state: JobState, kind: ErrorKind | None = None) -> JobView:
    now = datetime.now(UTC)
    problem = Problem(kind, "x") if kind else None
    return JobView("i", "import", "n", "p", state, now, now, problem=problem)


@pytest.mark.parametrize(
    ("views", "code"),
    [
        ([view(JobState.DONE)], EXIT_OK),
        ([view(JobState.DONE), view(JobState.FAILED, ErrorKind.REMOTE)], EXIT_FAILED),
        ([view(JobState.FAILED, ErrorKind.REFUSED)], 3),
        ([view(JobState.NEEDS_LOGIN)], EXIT_LOGIN),
        ([view(JobState.CANCELLED)], EXIT_INTERRUPTED),
        ([view(JobState.PAUSED)], EXIT_FAILED),
    ],
)
def test_exit_code_of_jobs(views: list[JobView], code: int) -> None:
    assert exit_code_of(views) == code


def test_words() -> None:
    assert [size(n) for n in (0, 1023, 1536, 60 << 30)] == ["0 B", "1,023 B", "1.5 KiB", "60 GiB"]
    assert [left_text(s) for s in (None, 41, 3725)] == ["", "0:41", "1:02:05"]
    assert percent_text(0.345) == "34%"
    assert table(("A", "N"), [("x", "1"), ("yy", "22")], right=frozenset({1})).splitlines() == [
        "A    N",
        "x    1",
        "yy  22",
    ]


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2Jb\x9bc\u202ed"
    say(name)
    out(f"{name}\tx")
    captured = capsys.readouterr()
    assert captured.err == "a\ufffd[2Jb\ufffdc\ufffdd\n"
    assert captured.out == "a\ufffd[2Jb\ufffdc\ufffdd\tx\n"
    out_json({"name": name, "other": "Müller ☕"})
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed)["name"] == name
    out_json({"other": "Müller ☕"})
    assert "Müller ☕" in capsys.readouterr().out


def test_an_error_is_json_too_when_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["job", "nosuch", "--json"]) == EXIT_FAILED
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["subject"] == "nosuch"
    assert "nosuch" in captured.err


def test_output_that_cannot_be_written_is_said_in_a_line() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "vmie_tui", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == EXIT_FAILED
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_names_the_terminal_cannot_show_are_escaped() -> None:
    program = "import sys; from vmie_tui import cli; cli._write_anything(); sys.stdout.write('data ☕')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"data \\u2615"
