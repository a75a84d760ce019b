"""The typed ledgers: to and from JSON, and written field by field beside what other versions know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from vmie_tui.jobs.store import ledger, schema
from vmie_tui.jobs.store.ledger import DiskLedger, ExportLedger, ImportLedger, JobLedger, RunLedger, Stored
from vmie_tui.jobs.store.rows import UNREADABLE
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.export import ExportPlan
from vmie_tui.model.job import DiskProgress
from vmie_tui.model.machine import Disk, Firmware, Machine, Power
from vmie_tui.model.plan import ImportPlan, VmSource

LEDGERS: tuple[type[Stored], ...] = (ImportLedger, RunLedger, ExportLedger, DiskLedger)
NESTED: tuple[type[Stored], ...] = (ledger.MachineAtSnapshot, ledger.DiskAtSnapshot)
FIELDS = [(kind, each.name) for kind in (*LEDGERS, *NESTED) for each in fields(kind)]
PLAN = ImportPlan("p", VmSource("vc", "vm-1", "web-01"), "eu-west-1", "bucket")
text = st.text(max_size=8)
machines = st.builds(
    Machine,
    text,
    text,
    folder=st.lists(text, max_size=2).map(tuple),
    power=st.sampled_from(Power),
    firmware=st.sampled_from(Firmware),
    disks=st.lists(st.builds(Disk, st.integers(), text, st.integers()), max_size=2).map(tuple),
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: text,
    int: st.integers(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    NoneType: st.none(),
    Machine: machines,
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Anything of a field's type."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if origin is UnionType:
        return st.one_of([values(each) for each in inner])
    if origin is tuple:
        if inner[-1] is ...:
            return st.lists(values(inner[0]), max_size=3).map(tuple)
        return st.tuples(*map(values, inner))
    if origin is Mapping:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    return st.sampled_from(kind) if issubclass(kind, Enum) else ledgers(kind)


def ledgers(kind: type[Stored]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: values(each) for name, each in get_type_hints(kind).items()})


def through_json(data: dict[str, Any]) -> Any:
    return json.loads(json.dumps(data))


@given(st.one_of([ledgers(kind) for kind in LEDGERS]))
def test_what_is_written_is_read_again(value: Stored) -> None:
    assert type(value).from_json(through_json(value.to_json())) == value


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name in FIELDS])
@settings(max_examples=5)
@given(data=st.data())
def test_every_field_is_written_alone_and_of_its_type(kind: type[Stored], name: str, data: st.DataObject) -> None:
    empty = kind()
    assert (empty.to_json(), kind.from_json({})) == ({}, empty), "a ledger of which nothing is known is empty"
    default, hint = getattr(empty, name), get_type_hints(kind)[name]
    other = data.draw(values(hint).filter(lambda value: value != default))
    written = kind(**{name: other}).to_json()
    assert len(written) == 1 and None not in written.values()
    assert kind.from_json(through_json(written)) == kind(**{name: other})
    with pytest.raises(UNREADABLE):
        kind.from_json({key: [[1.5]] for key in written})


@pytest.mark.parametrize("kind", [*LEDGERS, *NESTED])
def test_no_two_fields_share_a_key(kind: type[Stored]) -> None:
    assert len(kind().changes(each.name for each in fields(kind))) == len(fields(kind))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def stored(store: Store, job_id: str, value: Any = None) -> Any:
    """A job's ledger as it is in the database, after it was overwritten with ``value``."""
    column = schema.jobs.c.ledger
    with store.begin() as connection:
        if value is not None:
            connection.execute(schema.jobs.update().where(schema.jobs.c.id == job_id).values(ledger=value))
        return connection.execute(sa.select(column).where(schema.jobs.c.id == job_id)).scalar_one()


def test_a_field_is_written_beside_what_a_newer_version_wrote(store: Store) -> None:
    job_id = store.create(PLAN, ImportLedger(from_job="before"))
    token = store.record(job_id).ledger.client_token
    assert len(token) == 32
    newer = {"client_token": token, "of_a_newer_version": [1], "uefi": False}
    stored(store, job_id, newer)
    assert store.record(job_id).ledger == ImportLedger(client_token=token)
    store.remember(job_id, ImportLedger, snapshot="snapshot-1", snapshot_asked=True)
    assert stored(store, job_id) == newer | {"snapshot": "snapshot-1", "taking": True}
    store.remember(job_id, ImportLedger, snapshot="", snapshot_asked=False)
    assert stored(store, job_id) == newer


def test_a_disk_has_a_ledger_of_its_own(store: Store) -> None:
    job_id = store.create(PLAN)
    store.set_disks(job_id, [DiskProgress(key, f"Hard disk {key}", 1 << 20) for key in (1, 2)])
    store.remember_disk(job_id, 2, DiskLedger, pending_snapshot="snap-1", snapshot_try=2, changed=0)
    first, second = store.disks(job_id)
    assert first.ledger == DiskLedger()
    assert second.ledger == DiskLedger(pending_snapshot="snap-1", snapshot_try=2, changed=0)
    store.remember_disk(job_id, 2, DiskLedger, pending_snapshot="", uploaded_snapshot="snap-1")
    assert store.disk_now(job_id, 2).ledger == DiskLedger(uploaded_snapshot="snap-1", snapshot_try=2, changed=0)


def test_a_name_that_is_no_field_is_refused_at_run_time_too(store: Store) -> None:
    job_id = store.create(PLAN)
    wrong: Any = {"snapshott": "snapshot-1"}
    with pytest.raises(TypeError):
        store.remember(job_id, ImportLedger, **wrong)


def test_each_kind_of_job_reads_its_own_ledger(store: Store) -> None:
    imported = store.record(store.create(PLAN))
    exported = store.record(store.create(ExportPlan("p", "ami-1", "", "eu-west-1", "bucket", "exports/")))
    assert imported.ledger_as(ImportLedger).import_try == 1
    assert exported.ledger_as(ExportLedger).export_try == 1
    assert imported.ledger_as(JobLedger).client_token != exported.ledger_as(JobLedger).client_token
    for record, kind in ((imported, ExportLedger), (imported, RunLedger), (exported, ImportLedger)):
        with pytest.raises(TypeError):
            record.ledger_as(kind)


def test_a_disk_that_a_newer_version_wrote_says_so(store: Store) -> None:
    job_id = store.create(PLAN)
    store.set_disks(job_id, [DiskProgress(1, "Hard disk 1", 1 << 20)])
    with store.begin() as connection:
        connection.execute(schema.disks.update().values(ledger={"pending": ["snap-1", "snap-2"]}))
    for read in (lambda: store.disks(job_id), lambda: store.disk_now(job_id, 1)):
        with pytest.raises(ServiceError) as caught:
            read()
        assert (caught.value.kind, caught.value.problem.subject) == (ErrorKind.CORRUPT, job_id)
        assert "newer vmie-tui" in caught.value.problem.remedy


@pytest.mark.parametrize(
    "value", [[1], {"instance": 7}, {"copies": ["us-east-1"]}, {"machine": {"name": "web-01"}}], ids=str
)
def test_a_ledger_of_another_shape_leaves_out_its_job_alone(store: Store, value: Any) -> None:
    strange, mine = store.create(PLAN), store.create(PLAN)
    stored(store, strange, value)
    assert [record.id for record in store.unfinished()] == [mine]
    with pytest.raises(ServiceError) as caught:
        store.record(strange)
    assert caught.value.kind is ErrorKind.CORRUPT
