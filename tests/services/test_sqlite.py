"""The SQLite that is used: old ones get what the workflow engine asks of them, too old ones a successor or words."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import sqlalchemy as sa

from vmie_tui.jobs.store.database import BUSY_SECONDS, DATABASE_FILE, make_engine, workflow_engine
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services import sqlite

ENGINES_DEFAULT = "CREATE TABLE made (at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))"


@pytest.fixture(autouse=True)
def _choose_again() -> Iterator[None]:
    sqlite.chosen.cache_clear()
    yield
    sqlite.chosen.cache_clear()


def module(name: str, *version: int) -> ModuleType:
    return SimpleNamespace(  # type: ignore[return-value]
        __name__=name, sqlite_version_info=version, sqlite_version=".".join(str(part) for part in version)
    )


def use(monkeypatch: pytest.MonkeyPatch, own: ModuleType | None, wheel: ModuleType | None) -> None:
    monkeypatch.setattr(sqlite, "_pythons_own", lambda: own)
    monkeypatch.setattr(sqlite, "_of_the_wheel", lambda: wheel)


@pytest.mark.parametrize("strict", [False, True])
def test_an_sqlite_without_milliseconds_gets_them_for_the_engines_defaults(
    monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    """Also where the library was built to trust no schema."""
    monkeypatch.setattr(sqlite, "WITH_SUBSEC", (99, 0, 0))
    connection = sqlite3.connect(":memory:")
    if strict:
        connection.execute("PRAGMA trusted_schema=OFF")
    sqlite.prepare(connection)
    connection.execute(ENGINES_DEFAULT)
    before = time.time() * 1000
    for _ in range(3):
        connection.execute("INSERT INTO made DEFAULT VALUES")
    found = [row[0] for row in connection.execute("SELECT at FROM made")]
    assert all(before - 1 <= at <= time.time() * 1000 + 1 for at in found)
    cast = "SELECT CAST(unixepoch('subsec') * 1000 AS BIGINT), CAST(unixepoch('subsecond') * 1000 AS BIGINT)"
    assert all(before - 1 <= at <= time.time() * 1000 + 1 for at in connection.execute(cast).fetchone())


def test_another_question_for_the_time_is_not_answered_with_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WITH_SUBSEC", (99, 0, 0))
    connection = sqlite3.connect(":memory:")
    sqlite.prepare(connection)
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("SELECT unixepoch('1999-12-31')").fetchone()


def test_a_new_enough_sqlite_is_left_as_it_is() -> None:
    made: list[str] = []
    connection = SimpleNamespace(create_function=lambda *_: made.append("function"), execute=made.append)
    if sqlite.driver().sqlite_version_info >= sqlite.WITH_SUBSEC:
        sqlite.prepare(connection)
        assert made == []
    else:
        sqlite.prepare(connection)
        assert made[0] == "function"


@pytest.mark.parametrize("version", [(3, 35, 0), (3, 40, 1), (3, 42, 0), (3, 99, 2)])
def test_pythons_own_is_used_when_it_can_be(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]) -> None:
    own = module("sqlite3", *version)
    use(monkeypatch, own, module("sqlean.dbapi2", 3, 50, 4))
    assert sqlite.driver() is own


@pytest.mark.parametrize("own", [module("sqlite3", 3, 34, 1), module("sqlite3", 3, 7, 17), None])
def test_the_wheels_is_used_where_pythons_own_is_too_old_or_missing(
    monkeypatch: pytest.MonkeyPatch, own: ModuleType | None
) -> None:
    wheel = module("sqlean.dbapi2", 3, 50, 4)
    use(monkeypatch, own, wheel)
    assert sqlite.driver() is wheel
    assert sqlite.in_words(wheel) == "the SQLite of the package sqlean.py is 3.50.4"


@pytest.mark.parametrize("wheel", [None, module("sqlean.dbapi2", 3, 34, 0)])
@pytest.mark.parametrize(("own", "words"), [(module("sqlite3", 3, 34, 1), "is 3.34.1"), (None, "comes without SQLite")])
def test_without_any_that_is_new_enough_it_says_which_there_is_and_which_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: ModuleType | None, wheel: ModuleType | None, words: str
) -> None:
    use(monkeypatch, own, wheel)
    with pytest.raises(ServiceError) as caught:
        make_engine(f"sqlite:///{tmp_path / 'vmie.db'}")
    assert caught.value.kind is ErrorKind.LOCAL
    assert words in str(caught.value)
    assert "needs 3.35 or newer" in str(caught.value)
    assert "sqlean.py" in caught.value.problem.remedy


def test_the_wheel_works_where_it_is_installed() -> None:
    found = sqlite._of_the_wheel()
    if found is None:
        pytest.skip("the package sqlean.py has no wheel for this platform")
    assert sqlite.is_new_enough(found)
    engine = sa.create_engine("sqlite://", module=found)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE made (at INTEGER)"))
        assert connection.execute(sa.text("INSERT INTO made VALUES (7) RETURNING at")).scalar() == 7


def test_the_workflow_engine_reaches_the_same_file_through_the_same_sqlite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sqlite, "WITH_SUBSEC", (99, 0, 0))
    engine = workflow_engine(f"sqlite:///{tmp_path / 'vmie.db'}")
    assert engine is not None
    assert engine.dialect.dbapi is sqlite.driver()
    with engine.begin() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        assert raw.isolation_level == "IMMEDIATE"
        assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(sa.text("PRAGMA busy_timeout")).scalar() == BUSY_SECONDS * 1000
        connection.execute(sa.text(ENGINES_DEFAULT))
        connection.execute(sa.text("INSERT INTO made DEFAULT VALUES"))
    engine.dispose()


def test_for_postgresql_the_workflow_engine_makes_its_own() -> None:
    assert workflow_engine("postgresql+psycopg://somebody@host/vmie") is None


def test_a_damaged_database_is_said_to_be_damaged_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    path.write_bytes(b"not a database" * 1000)
    store = Store(tmp_path)
    with pytest.raises(ServiceError, match="the state database is damaged") as caught:
        store.counts()
    assert caught.value.problem.subject == str(path)
    assert "move it away" in caught.value.problem.remedy
    assert path.read_bytes() == b"not a database" * 1000
