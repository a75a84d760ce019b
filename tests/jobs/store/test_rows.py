"""Rows of the job database that somebody else wrote: never obeyed, never in the way of the others."""

from __future__ import annotations

import base64
import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.kits.job_world import MIB, World
from vmie_tui.jobs.engine import phases
from vmie_tui.jobs.replication.scheduler import Scheduler
from vmie_tui.jobs.store.catalogues import Catalogues
from vmie_tui.jobs.store.database import DATABASE_FILE
from vmie_tui.jobs.store.replication_views import read_replications
from vmie_tui.jobs.store.replications import Replications, add_replication, find
from vmie_tui.jobs.store.rows import MOST_JSON, MOST_TEXT
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ImportPlan, Route, VmSource
from vmie_tui.model.replication import CatalogueStatus, Replication
from vmie_tui.model.task import JobState
from vmie_tui.settings import Settings


class Touch:
    """What a stranger's pickle does when it is read: it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def pickled(marker: Path) -> str:
    return base64.b64encode(pickle.dumps(Touch(marker))).decode()


@pytest.mark.parametrize("table", ["workflow_input", "operation_outputs"])
@pytest.mark.parametrize("claims", ["py_pickle", "of_another_program"])
def test_a_worker_refuses_rows_that_claim_to_be_no_json(world: World, tmp_path: Path, table: str, claims: str) -> None:
    """As whoever may write to the database could: between two workers, in the middle of a job."""
    world.rate(8 * MIB)
    job = world.submit("web-01")
    world.wait(job, JobState.RUNNING)
    world.kill_worker()
    marker = tmp_path / "ran"
    with sqlite3.connect(world.settings.state_dir / DATABASE_FILE) as database:
        if table == "workflow_input":
            changed = database.execute("update workflow_input set inputs = ?", (pickled(marker),)).rowcount
            database.execute("update workflow_status set serialization = ?", (claims,))
        else:
            values = (pickled(marker), claims)
            changed = database.execute("update operation_outputs set output = ?, serialization = ?", values).rowcount
        assert changed or table == "operation_outputs"  # the kill may have come before the first step's end
    world.rate(None)
    world.client.ensure_worker()
    if not changed:
        world.wait(job)
        return
    view = world.wait(job, JobState.FAILED)
    assert view.problem is not None
    assert view.problem.kind is ErrorKind.CORRUPT
    assert "did not write" in view.problem.what
    assert not marker.exists()
    world.client.resume(job)
    world.assert_equal("web-01", world.wait(job))
    assert not marker.exists()


@pytest.mark.parametrize("read", ["deserialize_args", "deserialize_value", "deserialize_exception"])
def test_no_way_of_the_engine_to_read_a_row_reads_a_pickle(tmp_path: Path, read: str) -> None:
    from dbos import DBOSPortableJSONSerializer

    phases.refuse_pickles()
    marker = tmp_path / "ran"
    with pytest.raises(phases.ForeignRow):
        getattr(phases.dbos_rows, read)(pickled(marker), "py_pickle", DBOSPortableJSONSerializer())
    with pytest.raises(TypeError):
        getattr(phases.dbos_rows, read)(pickled(marker), "of_another_program", DBOSPortableJSONSerializer())
    assert not marker.exists()


# ---- vmie-tui's own tables

DEEP = "[" * 100_000 + "]" * 100_000
STRANGE: dict[str, dict[str, Any]] = {
    "unknown state": {"state": "frobnicated"},
    "unknown kind": {"kind": "of-a-newer-version"},
    "no JSON": {"plan": "{"},
    "JSON of another kind": {"plan": "[1, 2]"},
    "deep JSON": {"ledger": DEEP},
    "long JSON": {"plan": '{"x": "' + "x" * MOST_JSON + '"}'},
    "long text": {"name": "x" * (MOST_TEXT + 1)},
    "bytes for text": {"message": b"\x80\x04\x95"},
    "text for a number": {"attempt": "many"},
    "text for a time": {"created": "yesterday"},
    "a time out of range": {"updated": 1e300},
    "a problem without its fields": {"problem": '{"kind": "no-such-kind"}'},
    "a problem that is a list": {"problem": "[]"},
    "results of other types": {"results": "7"},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def plan(name: str = "web-01") -> ImportPlan:
    return ImportPlan("demo", VmSource("vc", "vm-1", name, "uuid"), "eu-west-1", "bucket", route=Route.IMAGE_DIRECT)


def overwrite(tmp_path: Path, table: str, ident: str, values: dict[str, Any]) -> None:
    with sqlite3.connect(tmp_path / "state" / DATABASE_FILE) as database:
        for column, value in values.items():
            statement = f"update {table} set {column} = ? where id = ?"
            assert database.execute(statement, (value, ident)).rowcount == 1


@pytest.mark.parametrize("values", STRANGE.values(), ids=STRANGE)
def test_a_strange_job_keeps_no_other_from_being_seen(store: Store, tmp_path: Path, values: dict[str, Any]) -> None:
    strange, mine = store.create(plan()), store.create(plan("db-01"))
    overwrite(tmp_path, "vmie_jobs", strange, values)
    assert mine in [record.id for record in store.unfinished()]
    views = {view.id: view for view in store.views()}
    assert views[mine].name == "db-01"
    assert views[strange].state in {JobState.FAILED, JobState.QUEUED}  # QUEUED: what is strange is not needed
    assert len(views[strange].name) <= 100
    store.counts()


def test_a_job_that_cannot_be_read_says_so_when_it_is_asked_for(store: Store, tmp_path: Path) -> None:
    strange = store.create(plan())
    overwrite(tmp_path, "vmie_jobs", strange, {"plan": "{"})
    with pytest.raises(ServiceError) as caught:
        store.record(strange)
    assert caught.value.kind is ErrorKind.CORRUPT
    (view,) = store.views()
    assert view.problem is not None
    assert "cannot be read" in view.problem.what


def test_text_that_is_no_utf8_does_not_fail_the_query(store: Store, tmp_path: Path) -> None:
    strange, mine = store.create(plan()), store.create(plan("db-01"))
    with sqlite3.connect(tmp_path / "state" / DATABASE_FILE) as database:
        database.execute("update vmie_jobs set name = cast(x'ff41' as text) where id = ?", (strange,))
        database.execute("update vmie_job_log set text = cast(x'ff41' as text)")
    assert {view.id: view.name for view in store.views()} == {strange: "\ufffdA", mine: "db-01"}
    assert [line.text for line in store.lines(mine, 9)] == ["\ufffdA"]


@pytest.mark.parametrize(
    "values",
    [
        {"spec": "{"},
        {"spec": '{"plan": {}}'},
        {"spec": DEEP},
        {"state": "frobnicated"},
        {"next_run": "soon"},
        {"kept": "[1]"},
        {"account": b"\x80"},
    ],
    ids=["no JSON", "no plan", "deep", "state", "time", "kept", "bytes"],
)
def test_a_strange_replication_keeps_no_other_from_its_schedule(
    store: Store, tmp_path: Path, values: dict[str, Any]
) -> None:
    book = Replications(store)
    with book.alone() as connection:
        strange, mine = (
            add_replication(connection, Replication(plan(name), 4e9, 6), name, "account", 0.0) for name in "ab"
        )
    overwrite(tmp_path, "vmie_replications", strange, values)
    with store.begin() as connection:
        assert mine in [view.id for view in read_replications(connection, lambda _: 0.0)]
        with pytest.raises(ServiceError):
            find(connection, strange)
    settings = Settings(tmp_path, tmp_path / "state", tmp_path / "c", {}, "")
    Scheduler(settings, store, None).tick()  # type: ignore[arg-type] # no session is asked for


def test_a_strange_catalogue_is_none(store: Store, tmp_path: Path) -> None:
    catalogues = Catalogues(Replications(store))
    catalogues.clear("demo", "vc", 1.0)
    with store.begin() as connection:
        connection.execute(sa.text("update vmie_catalogues set servers = '[{\"x\": 1}]'"))
    assert catalogues.read("demo", "vc").status is CatalogueStatus.NOT_IMPORTED
