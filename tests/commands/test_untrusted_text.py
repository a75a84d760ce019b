"""No command writes what steers a terminal, whatever vCenter, AWS and disks call their things; JSON gives it back."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vmie_tui import cli
from vmie_tui.commands.common import table
from vmie_tui.jobs.store import schema
from vmie_tui.jobs.store.catalogues import Catalogues
from vmie_tui.jobs.store.replication_records import Wish
from vmie_tui.jobs.store.replications import Replications, add_missed, add_replication, add_run, change
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.machine import Inventory, Machine, VCenterInfo
from vmie_tui.model.plan import ImportPlan, ObjectSource, TestLaunch, VmSource
from vmie_tui.model.replication import Replication, RunFigures, RunType, Sync
from vmie_tui.model.task import JobState, Task, TaskDisk, TaskKind
from vmie_tui.services.task_history import History

NASTY = (
    "\x1b[2J\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x9b31m\x9d0;o\x9c[red]x[/][/no][bold"
    "a\u202eb\u2066c\u200f\u200bd\ufeffe\u2060"
    + "one\ntwo\rthree\u2028four\x0b\x0c\x85"
    + "\x00\x08\x7f"
    + "東" * 10_000
)
NOW = datetime.now(UTC)
TASK = "import-ami-0123456789abcdef0"


@pytest.fixture
def job_id(own_home: Path) -> str:
    state = Path(os.environ["VMIE_STATE_DIR"])
    Path(os.environ["VMIE_CONFIG_FILE"]).write_text('[profiles.prod.aws]\nregion = "eu-west-1"\n')
    store = Store(state)
    plan = ImportPlan("prod", VmSource(NASTY, "vm-1", NASTY), "eu-west-1", "bucket", description=NASTY[:200])
    made = store.create(replace(plan, tags={NASTY[:100]: NASTY[:200]}))
    store.create(replace(plan, source=ObjectSource(NASTY, "bucket", (NASTY,), "OVA")))
    store.log(made, NASTY, "error")
    problem = Problem(ErrorKind.REMOTE, NASTY, NASTY, NASTY, detail=NASTY)
    store.become(made, JobState.RUNNING, message=NASTY)
    store.become(made, JobState.FAILED, message=NASTY, problem=problem.to_json())
    _replicate(store, plan)
    store.close()
    history = History(state)
    disks = (TaskDisk(NASTY, NASTY, NASTY),)
    task = Task(TaskKind.IMPORT_IMAGE, TASK, "active", NASTY, 5, NASTY, "eu-west-1", disks=disks, tags={NASTY: NASTY})
    history.record("prod", [task], NOW - timedelta(hours=1))
    history.record("prod", [replace(task, state="deleted", raw={NASTY: [NASTY]})], NOW)
    history.close()
    return made


def _replicate(store: Store, plan: ImportPlan) -> None:
    """A replication of that machine with a run that is at work, one that ended and one that was missed."""
    at = NOW.timestamp()
    spec = Replication(replace(plan, tags={NASTY[:100]: NASTY[:200]}, ami_name=NASTY[:100]), at, 12, group=NASTY[:100])
    with store.begin() as connection:
        ident = add_replication(connection, spec, NASTY, "111122223333", at)
        change(connection, ident, message=NASTY)
        for number, state in enumerate((JobState.RUNNING, JobState.FAILED)):
            run = add_run(connection, ident, RunType.ON_DEMAND, at + number, at, wish=Wish(cutover=TestLaunch(NASTY)))
            job = Store.add(connection, replace(plan, description=""))
            Store.enter(connection, job, JobState.RUNNING, message=NASTY, image_id=NASTY)
            if state is not JobState.RUNNING:
                Store.enter(connection, job, state, message=NASTY)
            figures = RunFigures(Sync.FULL, NASTY, 1, 1, 1, frozen=at).to_json()
            connection.execute(schema.runs.update().where(schema.runs.c.id == run).values(job_id=job, figures=figures))
        add_missed(connection, ident, {at + 9: NASTY}, at)
    machine = Machine("vm-1", NASTY, instance_uuid=NASTY, datacenter=NASTY, folder=(NASTY,))
    Catalogues(Replications(store)).fill("prod", "", Inventory(VCenterInfo(NASTY), NOW, (machine,)), at)


COMMANDS = (
    ("jobs",),
    ("jobs", "--json"),
    ("job", "{job}"),
    ("job", "{job}", "--json"),
    ("fallback", "{job}"),
    ("replicate", "list"),
    ("replicate", "list", "--json"),
    ("replicate", "show", "sms-job-"),
    ("replicate", "show", "sms-job-", "--json"),
    ("replicate", "runs", "sms-job-"),
    ("replicate", "runs", "sms-job-", "--json"),
    ("replicate", "forecast", "sms-job-"),
    ("replicate", "cutover", "sms-job-"),
    ("replicate", "rollback", "sms-job-", "--yes"),
    ("replicate", "pause", "sms-job-"),
    ("replicate", "delete", "sms-job-"),
    ("replicate", "show", NASTY),
    ("replicate", "run", "--group", NASTY),
    ("replicate", "edit", "sms-job-", "--next-run", NASTY),
    ("replicate", "create", NASTY, "--once"),
    ("replicate", "catalogue", "show"),
    ("replicate", "catalogue", "show", "--json"),
    ("replicate", "catalogue", "clear"),
    ("tasks", "--history"),
    ("tasks", "--history", "--json"),
    ("task", TASK, "--history"),
    ("task", TASK, "--history", "--json"),
    ("explain", NASTY[:2000]),
    ("explain", NASTY[:2000], "--json"),
    ("job", NASTY),
    ("task", NASTY, "--history"),
    ("import", NASTY),
    ("import", "./" + NASTY[:50]),
    ("preflight", NASTY),
    ("convert", NASTY[:50], NASTY[60:90]),
    (NASTY,),
    ("jobs", f"--{NASTY}"),
    ("--profile", NASTY, "jobs"),
    ("worker", "--idle-minutes", NASTY),
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words)[:24].encode("unicode_escape").decode())
def test_nothing_steers_the_terminal(job_id: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main([word.replace("{job}", job_id).replace("\x00", "") for word in words])
    written = capsys.readouterr()
    assert written.out or written.err
    for name, text in (("stdout", written.out), ("stderr", written.err)):
        wrong = {char for char in text if not char.isprintable() and char != "\n"}
        assert not wrong, (name, wrong)
    assert "unexpected" not in written.err, written.err[:300]
    if "--json" in words and code == 0:
        assert NASTY[:100] in _texts(json.loads(written.out)) or words[0] == "explain"


def _texts(value: object) -> str:
    """All texts of a JSON value, as they were before it was written."""
    if isinstance(value, dict):
        return "\0".join(part for item in value.items() for part in map(_texts, item))
    if isinstance(value, list):
        return "\0".join(map(_texts, value))
    return str(value)


def test_a_name_makes_no_line_of_its_own() -> None:
    """As many lines as rows, whatever the names hold."""
    name = "web-01\nffffffffff  done\r\x0b\x0c\x1c\x85\u2028\u2029db-01"
    assert len(table(("A", "B"), [(name, name), ("x", name)]).splitlines()) == 3


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_words: list[str]) -> int:
        raise ServiceError(ErrorKind.REMOTE, "said\nvmie-tui: everything is well", subject="a\nb", detail="c\u2028d")

    monkeypatch.setattr(cli, "_command", fail)
    assert cli.main(["jobs"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
