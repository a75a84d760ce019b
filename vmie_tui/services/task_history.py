"""A local history of every task seen, because AWS forgets tasks after about 7 days (trap 33).

A SQLite file of its own in the state folder, readable by its owner alone; several processes may write to it.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import Task, TaskKind
from vmie_tui.model.task_history import Change, TaskRecord, phase_of, task_from_json, task_to_json
from vmie_tui.private_files import private_database
from vmie_tui.services import sqlite

if TYPE_CHECKING:  # it may be another SQLite than Python's that is used
    import sqlite3

FILE = "history.db"
BUSY_SECONDS = 20.0
KEPT = timedelta(days=730)
_TABLES = """
CREATE TABLE IF NOT EXISTS tasks (
    profile TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, terminal INTEGER NOT NULL,
    first_seen REAL NOT NULL, last_seen REAL NOT NULL, forgotten INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (profile, region, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY, profile TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    at REAL NOT NULL, until REAL NOT NULL, state TEXT NOT NULL, phase TEXT NOT NULL, progress INTEGER
);
CREATE INDEX IF NOT EXISTS changes_of ON changes (profile, region, id, number);
"""
_GAP_SHARE, _GAP_SECONDS = 0.25, 60.0  # how exactly the end of a phase must have been seen to be learned from
_STARTED = 5  # percent: a task first seen at most there was seen from its beginning


class History:
    """The tasks seen so far. Every method may be called from any thread. Raises ServiceError LOCAL.

    ``set_aside``: where a file that was no database went, so that it keeps nobody from asking AWS; else None.
    """

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE
        self._lock = threading.Lock()
        self._usual: dict[tuple[TaskKind, str], tuple[float, int]] | None = None
        self.set_aside: Path | None = None
        with self._trouble():
            try:
                self._db = self._open()
            except sqlite.driver().OperationalError:  # locked, full, forbidden: the file itself is sound
                raise
            except sqlite.driver().DatabaseError:
                self.set_aside = self._put_aside()
                self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        private_database(self.path)
        made: sqlite3.Connection = sqlite.driver().connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("PRAGMA synchronous=NORMAL")
            made.executescript(_TABLES)
        except BaseException:
            made.close()
            raise
        return made

    def _put_aside(self) -> Path:
        """Renames the damaged file and its companions: somebody may still repair it."""
        aside = self.path.with_name(f"{FILE}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(FILE + ending).rename(aside.with_name(aside.name + ending))
        return aside

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- writing

    def record(self, profile: str, tasks: Iterable[Task], now: datetime | None = None) -> tuple[TaskRecord, ...]:
        """Keep a reading of these tasks; what is known of each now. What a list leaves out is kept from before."""
        at = (now or datetime.now(UTC)).timestamp()
        with self._writing():
            return tuple(self._keep(profile, task, at) for task in tasks)

    def _keep(self, profile: str, task: Task, at: float) -> TaskRecord:
        key = (profile, task.region, task.id)
        row = self._db.execute(
            "SELECT first_seen, data FROM tasks WHERE profile=? AND region=? AND id=?", key
        ).fetchone()
        first = at if row is None else row[0]
        if row is not None:
            task = _joined(task_from_json(json.loads(row[1])), task)
        last = self._db.execute(
            "SELECT number, state, phase, progress FROM changes WHERE profile=? AND region=? AND id=?"
            " ORDER BY number DESC LIMIT 1",
            key,
        ).fetchone()
        reading = (task.state, phase_of(task), task.progress)
        if last is not None and tuple(last[1:]) == reading:
            self._db.execute("UPDATE changes SET until=max(until, ?) WHERE number=?", (at, last[0]))
        else:
            self._db.execute(
                "INSERT INTO changes (profile, region, id, at, until, state, phase, progress) VALUES (?,?,?,?,?,?,?,?)",
                (*key, at, at, *reading),
            )
            self._usual = None
        self._db.execute(
            "INSERT OR REPLACE INTO tasks VALUES (?,?,?,?,?,?,?,?,?)",
            (*key, task.kind.value, task.terminal, first, at, False, json.dumps(task_to_json(task), default=str)),
        )
        return TaskRecord(profile, task, _time(first), _time(at), self._changes(key))

    def forget(self, profile: str, region: str, kind: TaskKind, listed: Iterable[str]) -> tuple[TaskRecord, ...]:
        """AWS has listed all tasks of this kind and Region: those it left out it has forgotten. Which these are."""
        known = set(listed)
        with self._writing():
            rows = self._db.execute(
                "SELECT id FROM tasks WHERE profile=? AND region=? AND kind=? AND NOT forgotten",
                (profile, region, kind.value),
            ).fetchall()
            gone = [row[0] for row in rows if row[0] not in known]
            self._db.executemany(
                "UPDATE tasks SET forgotten=1 WHERE profile=? AND region=? AND id=?",
                [(profile, region, ident) for ident in gone],
            )
            return tuple(found for ident in gone if (found := self._one((profile, region, ident))) is not None)

    def prune(self, now: datetime | None = None) -> int:
        """Drops tasks not seen for two years; returns how many."""
        before = ((now or datetime.now(UTC)) - KEPT).timestamp()
        with self._writing():
            self._db.execute(
                "DELETE FROM changes WHERE EXISTS (SELECT 1 FROM tasks t WHERE t.profile=changes.profile AND"
                " t.region=changes.region AND t.id=changes.id AND t.last_seen < ?)",
                (before,),
            )
            return self._db.execute("DELETE FROM tasks WHERE last_seen < ?", (before,)).rowcount

    # -- reading

    def records(self, profiles: Iterable[str] | None = None) -> tuple[TaskRecord, ...]:
        """Every task ever seen by these profiles (all), the newest first."""
        wanted = None if profiles is None else set(profiles)
        with self._lock, self._trouble():
            changes: dict[tuple[str, str, str], list[Change]] = {}
            for row in self._db.execute(
                "SELECT profile, region, id, at, until, state, phase, progress FROM changes ORDER BY number"
            ):
                changes.setdefault(row[:3], []).append(_change(row[3:]))
            rows = self._db.execute(
                "SELECT profile, region, id, first_seen, last_seen, forgotten, data FROM tasks ORDER BY first_seen DESC"
            ).fetchall()
        return tuple(
            _record(row, tuple(changes.get(row[:3], ()))) for row in rows if wanted is None or row[0] in wanted
        )

    def find(self, task_id: str) -> tuple[TaskRecord, ...]:
        """What is known of the task of this id, by each profile that saw it; the last seen first."""
        with self._lock, self._trouble():
            keys = self._db.execute(
                "SELECT profile, region, id FROM tasks WHERE id=? ORDER BY last_seen DESC", (task_id,)
            ).fetchall()
            return tuple(found for key in keys if (found := self._one(key)) is not None)

    def usual(self, kind: TaskKind, phase: str) -> tuple[float | None, int]:
        """(median seconds of this phase in tasks of this kind, how many were seen); (None, 0) when unknown."""
        with self._lock, self._trouble():
            if self._usual is None:
                self._usual = self._learn()
            return self._usual.get((kind, phase), (None, 0))

    def _learn(self) -> dict[tuple[TaskKind, str], tuple[float, int]]:
        rows = self._db.execute(
            "SELECT t.kind, c.profile, c.region, c.id, c.at, c.until, c.phase, c.progress FROM changes c"
            " JOIN tasks t ON t.profile=c.profile AND t.region=c.region AND t.id=c.id"
            " ORDER BY c.profile, c.region, c.id, c.number"
        )
        taken: dict[tuple[TaskKind, str], list[float]] = {}
        for phase, seconds in _durations(rows):
            taken.setdefault(phase, []).append(seconds)
        return {key: (statistics.median(values), len(values)) for key, values in taken.items()}

    def _one(self, key: tuple[str, str, str]) -> TaskRecord | None:
        row = self._db.execute(
            "SELECT profile, region, id, first_seen, last_seen, forgotten, data FROM tasks"
            " WHERE profile=? AND region=? AND id=?",
            key,
        ).fetchone()
        return None if row is None else _record(row, self._changes(key))

    def _changes(self, key: tuple[str, str, str]) -> tuple[Change, ...]:
        rows = self._db.execute(
            "SELECT at, until, state, phase, progress FROM changes WHERE profile=? AND region=? AND id=?"
            " ORDER BY number",
            key,
        )
        return tuple(_change(row) for row in rows)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._trouble():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except (sqlite.driver().Error, OSError) as error:
            raise ServiceError(
                ErrorKind.LOCAL,
                "the history of tasks cannot be used",
                subject=str(self.path),
                remedy="Check the folder's owner, mode and free space; the file may be removed, only history is lost",
                retry_safe=True,
                detail=str(error),
            ) from error


def remember(state_dir: Path, profile: str, task: Task) -> None:
    """Records one reading without fail: a history that cannot be written never stops the caller."""
    with contextlib.suppress(ServiceError):
        history = History(state_dir)
        try:
            history.record(profile, [task])
        finally:
            history.close()


def _durations(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[TaskKind, str], float]]:
    """How long each phase took that was seen from its beginning to its end."""
    before: tuple[Any, ...] | None = None  # (task, phase, when it began, was the beginning seen, when it was last seen)
    for kind, profile, region, ident, at, until, phase, progress in rows:
        task = (kind, profile, region, ident)
        if before is None or before[0] != task:
            before = (task, phase, at, progress is not None and progress <= _STARTED, until)
        elif before[1] == phase:
            before = (*before[:4], until)
        else:
            _, name, begun, seen, last = before
            seconds = at - begun
            exact = at - last <= max(_GAP_SECONDS, _GAP_SHARE * seconds)
            if seen and exact:
                yield (TaskKind(kind), name), seconds
            before = (task, phase, at, exact, until)


def _joined(old: Task, new: Task) -> Task:
    """A list leaves out what AWS tells of one task alone (F317, F338), and ids once known stay so."""
    return replace(
        new,
        image_id=new.image_id or old.image_id,
        instance_id=new.instance_id or old.instance_id,
        volume_ids=new.volume_ids or old.volume_ids,
        description=new.description or old.description,
        tags=new.tags or old.tags,
        status_message=new.status_message,
        disks=new.disks or old.disks,
    )


def _time(stamp: float) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)


def _change(row: tuple[Any, ...]) -> Change:
    at, until, state, phase, progress = row
    return Change(_time(at), _time(until), state, phase, progress)


def _record(row: tuple[Any, ...], changes: tuple[Change, ...]) -> TaskRecord:
    profile, _, _, first, last, forgotten, data = row
    return TaskRecord(profile, task_from_json(json.loads(data)), _time(first), _time(last), changes, bool(forgotten))
