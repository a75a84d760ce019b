"""A database that the version before the typed ledgers wrote (commit 62dbee8): it is read, and its jobs go on.

``jobs_of_62dbee8.sql`` holds jobs of every kind that ran against the simulators. Ids of jobs were replaced by what they
are, folders by /srv; logs and most block samples are left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.kits.job_world import World
from vmie_tui import settings
from vmie_tui.jobs.store.database import DATABASE_FILE
from vmie_tui.jobs.store.ledger import (
    DiskAtSnapshot,
    DiskLedger,
    ExportLedger,
    ImportLedger,
    JobLedger,
    MachineAtSnapshot,
    RunLedger,
    Stored,
)
from vmie_tui.jobs.store.replications import Replications
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.machine import Firmware, Power
from vmie_tui.model.replication import RunState, Sync
from vmie_tui.model.task import JobState
from vmie_tui.operations.replication_jobs import ReplicationJobs

DUMP = Path(__file__).with_name("jobs_of_62dbee8.sql")
TABLES = {"vmie_jobs": "id", "vmie_job_stages": "job_id", "vmie_job_disks": "job_id", "vmie_blocks": "job_id"}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as made:
        made.executescript(DUMP.read_text("utf-8"))
    return tmp_path / DATABASE_FILE


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    made = Store(database.parent)
    yield made
    made.close()


def imported(store: Store, job_id: str) -> ImportLedger:
    return store.record(job_id).ledger_as(ImportLedger)


def exported(store: Store, job_id: str) -> ExportLedger:
    return store.record(job_id).ledger_as(ExportLedger)


def run(store: Store, job_id: str) -> RunLedger:
    return store.record(job_id).ledger_as(RunLedger)


def disk(store: Store, job_id: str, number: int = 0) -> DiskLedger:
    return store.disks(job_id)[number].ledger


# What is no longer written, since it can be told from the rest: of a job, and of a disk.
DERIVED = {"moid", "host", "path", "made", "key", "file", "converted", "written"}


def assert_nothing_lost(raw: dict[str, Any], read: Stored) -> None:
    """Every key of ``raw`` that is still written is a field's, and the field has its value."""
    empty, written = type(read)(), json.loads(json.dumps(read.to_json()))
    for key in raw.keys() - DERIVED if isinstance(read, JobLedger | DiskLedger) else raw:
        value = raw[key]
        (name,) = [each.name for each in fields(read) if each.metadata.get("key", each.name) == key]
        found = getattr(read, name)
        if isinstance(found, Stored):
            assert_nothing_lost(value, found)
        elif key in written:
            assert written[key] == value, name
        else:
            assert found == getattr(empty, name) == value, name


def test_every_record_is_read_with_all_that_is_in_it(store: Store, database: Path) -> None:
    with closing(sqlite3.connect(database)) as raw:
        ledgers = {job_id: json.loads(text) for job_id, text in raw.execute("select id, ledger from vmie_jobs")}
        of_disks = raw.execute("select job_id, key, ledger from vmie_job_disks").fetchall()
    assert {view.id for view in store.views() if view.problem is None or view.state is JobState.FAILED} == set(ledgers)
    for job_id, ledger in ledgers.items():
        assert_nothing_lost(ledger, store.record(job_id).ledger)
    assert len(of_disks) > len(ledgers)
    for job_id, key, text in of_disks:
        assert_nothing_lost(json.loads(text or "{}"), store.disk_now(job_id, key).ledger)


def test_imports(store: Store) -> None:
    direct = imported(store, "import-direct")
    assert direct.client_token == "78b609bce960cce313e2dc73a468b839"
    assert (direct.moid, direct.machine.host, direct.machine.path) == (
        "vm-21",
        "esx-01.corp.example",
        "DC1/Test/app-01",
    )
    assert (direct.source_state, direct.snapshot, direct.snapshot_asked) == ("snapshot-37", "", False)
    assert (direct.ebs_snapshots_asked, direct.transferred, direct.task_asked) == (True, True, True)
    assert (direct.machine.name, direct.machine.power, direct.machine.firmware) == ("app-01", Power.ON, Firmware.BIOS)
    assert direct.machine.disks[0].capacity == 8 << 20
    assert disk(store, "import-direct") == DiskLedger(uploaded_snapshot="snap-261c499c36815db02")

    launched = imported(store, "import-unmodified")
    assert (launched.register_asked, launched.launch_asked) == (True, True)
    assert (launched.instance, launched.copies) == ("i-a62801bd268df13e3", {"us-east-1": "ami-ebcdd57a3f7787bdc"})

    instance = imported(store, "import-instance")
    assert instance.to_tag == ("i-e9f00492b068c2910", "vol-d5a38b622cf459571")
    parts = disk(store, "import-instance")
    assert parts.manifest_key == "vmie/web-02-import-instance/disk-1.vmdkmanifest.xml"
    assert (parts.image_bytes, parts.volume_gib) == (4301312, 1)
    assert instance.urls_signed == pytest.approx(1796099247.63, abs=0.01)

    assert imported(store, "import-volumes").volumes_asked
    assert disk(store, "import-volumes").volume == "vol-203336d529da3d38d"
    assert [one.ledger.object_size for one in store.disks("import-ova")] == [9135616, 9135616]
    of_a_file = imported(store, "import-file")
    assert of_a_file.proven_state == of_a_file.source_state == "87367b59c376fb8f"


def test_imports_that_failed_or_wait(store: Store) -> None:
    failed, fallback = imported(store, "failed"), imported(store, "fallback")
    assert (failed.import_try, failed.transferred) == (2, False)
    assert (failed.fallback_job, fallback.from_job) == ("fallback", "failed")
    assert disk(store, "failed-snapshot").import_try == 2
    paused = imported(store, "paused-blocks")
    assert (paused.source_state, paused.snapshot, paused.lease_open) == ("snapshot-50", "snapshot-50", False)
    assert disk(store, "paused-blocks") == DiskLedger(pending_snapshot="snap-504ad190fad0ba269")
    assert {record.id for record in store.unfinished()} == {"paused-s3", "paused-blocks", "paused-task", "run-paused"}


def test_exports(store: Store) -> None:
    down = exported(store, "export")
    name = "export-ami-0e13c9767ba2357aa"
    assert down.objects == ((f"exports/{name}.vmdk", 6415872), (f"exports/{name}-disk2.vmdk", 2712576))
    assert down.files == down.fetching == (f"/srv/exports/{name}.vmdk", f"/srv/exports/{name}-disk2.vmdk")
    assert down.conversions == (f"/srv/exports/{name}.vhd", f"/srv/exports/{name}-disk2.vhd")
    deployed = exported(store, "export-deploy")
    assert (deployed.machine_asked, deployed.machine_moid, deployed.uefi) == (True, "vm-53", False)
    failed = exported(store, "export-failed")
    assert (failed.export_try, failed.task_asked, failed.objects) == (2, False, ())


def test_runs(store: Store) -> None:
    second = run(store, "run-second")
    assert second.at_snapshot == MachineAtSnapshot(
        moid="snapshot-61", at=pytest.approx(1796272076.42, abs=0.01), quiesced=True, host="esx-01.corp.example"
    )
    assert second.began == pytest.approx(1796099275.7, abs=0.01)
    assert (second.copy_seconds, second.kept_after) == pytest.approx((0.7919, 1.4658), abs=0.0001)
    assert (second.blocks_verified, second.kept, second.leftovers) == (12, True, ())
    assert disk(store, "run-second") == DiskLedger(
        at_snapshot=DiskAtSnapshot(
            uuid="d108f20f-f418-5de4-8444-8ea488d16276",
            capacity=8388608,
            change_id="52 aa cb dc f3 82 52 00-9d f1 f7 59 59 e5 37 89/3",
            file="[vmfs-01] repl-01/repl-01.vmdk",
            datastore="vmfs-01",
        ),
        begun_at="snapshot-61",
        parent_snapshot="snap-3145cf55dac16b421",
        sync=Sync.CHANGED,
        changed=65536,
        uploaded_snapshot="snap-f442fa7b4dd3f663c",
    )
    assert disk(store, "run-second", 1).changed == 0
    first, checksum = disk(store, "run-first"), disk(store, "run-checksum")
    assert (first.sync, first.parent_snapshot) == (Sync.FIRST, "")
    assert (checksum.sync, checksum.reason) == (Sync.CHECKSUM, "the user asked for it")
    assert "by an export lease" in disk(store, "run-lease").reason
    cutover = run(store, "run-cutover")
    assert (cutover.shut_down, cutover.instance) == (True, "i-3139545cafee27c7e")
    assert cutover.at_snapshot.quiesced is None
    paused = disk(store, "run-paused", 1)
    assert (paused.completing, paused.pending_snapshot) == (True, "snap-125aced984b2ea7e3")


def test_replications(store: Store, database: Path) -> None:
    book = Replications(store)
    assert book.leftovers("sms-job-2372b290") == ()
    # what the first runs left and the retention removed is gone; the paused run goes on from the last one's copy
    assert [kept.snapshot_id for kept in book.kept("sms-job-2372b290")] == [
        "snap-4a9a12273f353c20b",
        "snap-48190eecfaf86e4e1",
    ]
    with closing(ReplicationJobs(settings.load(state_dir=database.parent))) as client:
        (cutover,) = client.view("sms-job-5cf90e3e").runs
        assert (cutover.state, cutover.instance_id) == (RunState.COMPLETED, "i-3139545cafee27c7e")


@pytest.mark.worker("shared")
@pytest.mark.parametrize(("job_id", "machine"), [("paused-s3", "db-01"), ("paused-blocks", "app-01")])
def test_a_job_that_was_paused_goes_on(world: World, database: Path, job_id: str, machine: str) -> None:
    with closing(sqlite3.connect(world.settings.state_dir / DATABASE_FILE, timeout=30)) as target:
        target.execute("attach ? as old", (str(database),))
        for table, column in TABLES.items():
            names = ", ".join(row[1] for row in target.execute(f"pragma old.table_info({table})"))
            target.execute(
                f"insert into main.{table} ({names}) select {names} from old.{table} where {column} = ?",
                (job_id,),
            )
        target.commit()
    world.client.resume(job_id)
    world.assert_equal(machine, world.wait(job_id))
    assert world.machine(machine).snapshots == 0
