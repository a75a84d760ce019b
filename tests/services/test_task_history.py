"""The local history: what was seen of tasks, kept after AWS forgot them, and what is learned from it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import USER_CANCELLED, Task, TaskDisk, TaskKind
from vmie_tui.model.task_history import (
    Outcome,
    SortBy,
    TaskQuery,
    TaskRecord,
    outcome,
    phases,
    task_from_json,
    task_to_json,
)
from vmie_tui.services.task_history import History, remember

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TASK = Task(TaskKind.IMPORT_IMAGE, "import-ami-1", "active", "pending", 0, "web", "eu-west-1")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "state")
    yield history
    history.close()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def story(history: History, ident: str, *readings: tuple[float, str, int | None], profile: str = "p") -> TaskRecord:
    """Readings of one task: (seconds, its message or final state, percent)."""
    last = None
    for seconds, phase, progress in readings:
        ended = phase in {"completed", "deleted"}
        task = replace(
            TASK, id=ident, state=phase if ended else "active", status_message="" if ended else phase, progress=progress
        )
        [last] = history.record(profile, [task], at(seconds))
    assert last is not None
    return last


def test_a_timeline_grows_by_changes(history: History) -> None:
    record = story(
        history, "import-ami-1", (0, "pending", 0), (10, "pending", 0), (20, "converting", 30), (50, "completed", None)
    )
    assert [(c.phase, c.progress, c.at, c.until) for c in record.changes] == [
        ("pending", 0, at(0), at(10)),
        ("converting", 30, at(20), at(20)),
        ("completed", None, at(50), at(50)),
    ]
    assert (record.first_seen, record.last_seen, record.outcome) == (at(0), at(50), Outcome.COMPLETED)
    assert history.find("import-ami-1") == (record,) == history.records()
    assert history.find("import-ami-2") == () and history.records({"q"}) == ()


def test_what_aws_forgot_is_still_there(history: History, tmp_path: Path) -> None:
    story(history, "import-ami-1", (0, "pending", 0))
    story(history, "import-ami-2", (0, "pending", 0))
    story(history, "import-ami-3", (0, "pending", 0), profile="other")
    [gone] = history.forget("p", "eu-west-1", TaskKind.IMPORT_IMAGE, ["import-ami-2"])
    assert gone.task.id == "import-ami-1" and gone.forgotten and not gone.live
    assert history.forget("p", "eu-west-1", TaskKind.IMPORT_IMAGE, ["import-ami-2"]) == ()
    assert history.forget("p", "eu-west-1", TaskKind.EXPORT_IMAGE, []) == ()
    history.close()
    again = History(tmp_path / "state")
    assert {record.task.id: record.forgotten for record in again.records()} == {
        "import-ami-1": True,
        "import-ami-2": False,
        "import-ami-3": False,
    }
    [back] = again.record("p", [TASK], at(60))
    assert not back.forgotten
    again.close()


def test_what_a_list_leaves_out_stays_known(history: History) -> None:
    export = Task(TaskKind.EXPORT_IMAGE, "export-ami-1", "active", image_id="ami-1", description="x", tags={"a": "b"})
    history.record("p", [export], at(0))
    [record] = history.record("p", [replace(export, image_id="", description="", tags={})], at(5))
    assert (record.task.image_id, record.task.description, record.task.tags) == ("ami-1", "x", {"a": "b"})


def test_usual_times_are_learned_where_they_are_known(history: History) -> None:
    kind = TaskKind.IMPORT_IMAGE
    assert history.usual(kind, "pending") == (None, 0)
    for number, seconds in enumerate((30, 40, 90)):
        story(
            history, f"import-ami-{number}", (0, "pending", 0), (seconds - 1, "pending", 0), (seconds, "converting", 19)
        )
    assert history.usual(kind, "pending") == (40, 3)
    assert history.usual(kind, "converting") == (None, 0), "none of them has ended"
    assert history.usual(TaskKind.EXPORT_IMAGE, "pending") == (None, 0)
    story(history, "import-ami-7", (0, "pending", 50), (500, "completed", None))
    assert history.usual(kind, "pending") == (40, 3), "its beginning was not seen"
    story(history, "import-ami-8", (0, "pending", 0), (50_000, "completed", None))
    assert history.usual(kind, "pending") == (40, 3), "nobody looked for hours"


def test_time_in_phase_against_the_usual(history: History) -> None:
    for number in range(3):
        story(history, f"import-ami-{number}", (0, "pending", 0), (30, "booting", 27), (60, "completed", None))
    slow = story(history, "import-ami-9", (0, "pending", 0), (31, "booting", 27))
    first, second = phases(slow, at(31 + 600), history.usual)
    assert (first.phase, first.seconds, first.usual, first.over, first.slow) == ("pending", 31, 30, True, False)
    assert (second.phase, second.seconds, second.usual, second.samples) == ("booting", 600, 30, 3)
    assert second.slow and not second.over


def test_a_watcher_keeps_what_it_sees(tmp_path: Path) -> None:
    remember(tmp_path, "p", TASK)
    remember(tmp_path, "p", replace(TASK, status_message="converting", progress=20))
    history = History(tmp_path)
    [record] = history.records()
    history.close()
    assert [change.phase for change in record.changes] == ["pending", "converting"]
    (tmp_path / "file").write_text("no folder")
    remember(tmp_path / "file", "p", TASK)  # a job goes on without


def test_only_the_owner_may_read_it(history: History) -> None:
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.path.parent.stat().st_mode) == 0o700


def test_two_processes_may_write(history: History, tmp_path: Path) -> None:
    other = History(tmp_path / "state")
    story(other, "import-ami-1", (0, "pending", 0))
    story(history, "import-ami-1", (10, "converting", 20))
    assert [change.phase for change in other.find("import-ami-1")[0].changes] == ["pending", "converting"]
    other.close()


def test_the_very_old_goes(history: History) -> None:
    story(history, "import-ami-1", (0, "pending", 0))
    assert history.prune(at(3600)) == 0
    assert history.prune(NOON + timedelta(days=1000)) == 1
    assert history.records() == ()


def test_a_damaged_file_is_set_aside_and_keeps_nobody_from_asking(tmp_path: Path) -> None:
    damaged = b"this is no database" * 100
    (tmp_path / "history.db").write_bytes(damaged)
    history = History(tmp_path)
    story(history, "import-ami-1", (0, "pending", 0))
    assert [record.task.id for record in history.records()] == ["import-ami-1"]
    assert history.set_aside is not None and history.set_aside.read_bytes() == damaged
    history.close()
    again = History(tmp_path)
    assert again.set_aside is None and len(again.records()) == 1
    again.close()


def test_a_file_that_cannot_be_opened_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()
    with pytest.raises(ServiceError) as caught:
        History(tmp_path)
    assert caught.value.kind is ErrorKind.LOCAL and "history.db" in str(caught.value)


texts = st.text(max_size=8)


@given(
    st.builds(
        Task,
        kind=st.sampled_from(TaskKind),
        id=texts,
        state=texts,
        progress=st.none() | st.integers(0, 100),
        disks=st.lists(st.builds(TaskDisk, texts, texts, image_size=st.none() | st.floats(0, 1e12))).map(tuple),
        tags=st.dictionaries(texts, texts),
        raw=st.dictionaries(texts, texts | st.lists(texts)),
        volume_ids=st.lists(texts).map(tuple),
    )
)
def test_tasks_survive_json(task: Task) -> None:
    assert task_from_json(task_to_json(task)) == task


# -- looking for some


def seen(**change: object) -> TaskRecord:
    record_changes = {name: change.pop(name) for name in ("profile", "first_seen") if name in change}
    task = replace(TASK, **change)  # type: ignore[arg-type]
    return replace(TaskRecord("prod", task, NOON, NOON), **record_changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (TaskQuery(), True),
        (TaskQuery(kinds=frozenset({TaskKind.EXPORT_IMAGE})), False),
        (TaskQuery(states=frozenset({"active"})), True),
        (TaskQuery(states=frozenset({"failed", "completed"})), False),
        (TaskQuery(regions=frozenset({"us-east-1"})), False),
        (TaskQuery(max_age=timedelta(hours=2)), True),
        (TaskQuery(max_age=timedelta(minutes=59)), False),
        (TaskQuery(text="WEB pending"), True),
        (TaskQuery(text="web !pending"), False),
        (TaskQuery(text="!nothing"), True),
        (TaskQuery(text="snap-7"), True),
        (TaskQuery(text="owner=jo"), True),
        (TaskQuery(tags=("owner",)), True),
        (TaskQuery(tags=("owner=jo",)), True),
        (TaskQuery(tags=("owner=al",)), False),
        (TaskQuery(tags=("owner", "cost")), False),
    ],
)
def test_filters(query: TaskQuery, wanted: bool) -> None:
    record = seen(disks=(TaskDisk(snapshot_id="snap-7"),), tags={"owner": "jo"})
    assert query.matches(record, at(3600)) is wanted


def test_outcomes() -> None:
    cases = {
        Outcome.ACTIVE: replace(TASK, state="converting"),
        Outcome.COMPLETED: replace(TASK, state="completed", status_message=""),
        Outcome.FAILED: replace(TASK, state="deleted", status_message="ClientError: Unknown OS"),
        Outcome.CANCELLED: replace(TASK, state="deleted", status_message=USER_CANCELLED),
    }
    assert {outcome(task): task for task in cases.values()} == cases


def test_sorting() -> None:
    old_live = seen(id="b", first_seen=at(-90), progress=80)
    new_done = seen(id="a", first_seen=at(50), state="completed", status_message="", progress=None)
    failed = seen(id="c", first_seen=at(60), state="deleted", status_message="ClientError: x", region="ap-east-1")
    every = (old_live, new_done, failed)

    def ids(sort: SortBy, reverse: bool = False) -> str:
        return "".join(r.task.id for r in TaskQuery(sort=sort, reverse=reverse).apply(every, at(100)))

    assert ids(SortBy.AGE) == "bca" and ids(SortBy.ID) == "abc" and ids(SortBy.ID, reverse=True) == "cba"
    assert ids(SortBy.STATE) == "bca" and ids(SortBy.REGION) == "cab" and ids(SortBy.PROGRESS) == "acb"
