"""Names and errors that hold what steers a terminal: shown on every screen as harmless characters, however long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from tests.kits.driving import press, running, settle
from tests.kits.fake_backend import FINDINGS, FakeOperations, job, machine, some_jobs
from tests.kits.fake_tasks import record
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.job import LogLine
from vmie_tui.model.machine import Nic
from vmie_tui.model.task import JobState, TaskDisk
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.password import PasswordScreen

NASTY = {
    "escape": "\x1b[2J\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07",
    "8 bit": "\x9b31mred\x9d0;owned\x9c",
    "markup": "[red]x[/red][@click=app.quit]y[/]",
    "broken markup": "[/nothing][bold",
    "bidirectional": "a\u202egnp.exe\u2066b\u200f",
    "zero width": "a\u200bb\ufeffc\u2060d\u00ad",
    "lines": "one\ntwo\r\nthree\u2028four\x0b\x0c\x85",
    "controls": "".join(map(chr, range(32))) + "\x7f",
    "surrogate": "a\ud800b",
    "wide": "サーバー" + "\U0001f468\u200d\U0001f469" + "e\u0301" * 20,
}
TEXTS = {
    "short": NASTY["broken markup"],
    "all": "".join(NASTY.values()),
    "long": "".join(NASTY.values()) + "東x" * 1_000 + "\x1b[31m",
}


def operations(text: str) -> FakeOperations:
    """Everything that comes from outside says ``text``."""
    vm = machine(
        1,
        text,
        folder=(text, text),
        datacenter=text,
        cluster=text,
        host=text,
        guest_name=text,
        tools_guest_name=text,
        nics=(Nic(text, network=text, addresses=(text,)),),
    )
    disks = tuple(replace(disk, label=text, datastore=text, file_name=text) for disk in vm.disks)
    problem = Problem(ErrorKind.REMOTE, f"cannot {text}", text, text, detail=text)
    jobs = [
        replace(
            one,
            name=text,
            source=text,
            target=text,
            message=text,
            task_message=text,
            problem=replace(problem) if one.problem else None,
            results={text: text},
            disks=tuple(replace(disk, label=text) for disk in one.disks),
        )
        for one in (*some_jobs(), job(99, text, JobState.FAILED, problem=problem))
    ]
    made = FakeOperations((replace(vm, disks=disks), machine(2, "db-01")), jobs)
    made.jobs.log = lambda job_id, tail: [LogLine(jobs[0].created, text, "error")]  # type: ignore[method-assign]
    made.aws_error = made.imports.account_error = ServiceError(
        ErrorKind.REMOTE, text, subject=text, remedy=text, detail=text
    )
    made.imports.preflight_error = ServiceError(ErrorKind.REMOTE, text, subject=text, remedy=text, detail=text)
    made.jobs.submit_errors[text] = ServiceError(ErrorKind.REFUSED, text, subject=text, remedy=text)
    tasks = tuple(
        record(
            number,
            state,
            text,
            description=text,
            tags={text: text, "Name": text},
            disks=(TaskDisk(text, text, text),),
            raw={text: [text], "StatusMessage": text},
        )
        for number, state in ((5, "active"), (10, "deleted"), (3, "completed"))
    )
    made.tasks.records = tasks
    return made


def harmless(pilot: Pilot[int], where: str) -> None:
    """Not one character of the screen steers a terminal, and every row has its width."""
    for strip in pilot.app.screen._compositor.render_strips():
        for segment in strip:
            assert segment.text.isprintable(), (where, [char for char in segment.text if not char.isprintable()])
        assert strip.cell_length == pilot.app.size.width, where


@pytest.fixture(params=TEXTS)
def text(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    nasty = TEXTS[request.param]
    finding = Finding(Severity.WARNING, nasty, nasty, nasty, nasty, nasty)
    monkeypatch.setitem(FINDINGS, nasty, (finding,))
    yield nasty


async def test_every_screen(text: str) -> None:
    async with running(operations(text), size=(100, 30)) as pilot:
        app = pilot.app
        for keys in (
            ("j",),
            ("enter",),  # the report
            ("escape", "i"),  # the wizard
            ("right",),
            ("escape", "escape"),
            ("2",),
            ("j",),
            ("enter",),  # a job
            ("escape", "G", "enter"),  # one that failed
            ("escape", "3"),
            ("enter",),  # a task
            ("j",),  # what AWS said of it
            ("escape", "escape"),
            ("slash", *"state=", "enter"),
            ("4",),
            ("5",),
            ("colon",),
            ("escape", "question_mark"),
            ("escape", "1", "slash", *"xx", "enter"),
        ):
            await press(pilot, *keys)
            harmless(pilot, f"after {keys}: {type(app.screen).__name__}")
        for screen in (
            ConfirmScreen(text, text, yes=text[:30], no=text[:30]),
            PasswordScreen(text, text, text),
        ):
            app.push_screen(screen)
            await settle(pilot)
            harmless(pilot, type(screen).__name__)
            app.pop_screen()
        await press(pilot, "1")
        app.screen.tell(text, error=True)
        await settle(pilot)
        harmless(pilot, "a toast")
        assert app.title == "vmie-tui"  # the terminal's title is never a name from outside
