"""Machines in datacenters of one name, on datastores with names that need care, read by the host that owns the lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.job_world import SPEED, World, close_world, open_world
from tests.kits.replications import Replica
from vmie_tui.commands.inventory import read
from vmie_tui.jobs.engine.polling import INTERVAL_VARIABLE, POLL_VARIABLE
from vmie_tui.model.replication import Sync
from vmie_tui.simulators import launch


@pytest.fixture
def odd(
    used_database: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    root = tmp_path_factory.mktemp("odd")
    launch.start(root, launch.Wanted(speed=SPEED, rate=0, idle_hours=0.2, fleet="odd"))
    monkeypatch.setenv(INTERVAL_VARIABLE, "0.1")
    monkeypatch.setenv(POLL_VARIABLE, "0.15")
    world = open_world(root, used_database, Path(os.environ["VMIE_STATE_DIR"]))
    yield world
    close_world(world)
    launch.stop(root)


def test_a_replication_and_imports_of_machines_in_odd_places(odd: World) -> None:
    machines = {one.path: one for one in read(odd.settings).machines}
    assert {"EU/DC1/pay-01", "US/DC1/pay-01", "US/DC1/db.vmdk"} <= machines.keys()
    # Imports by the lease, and what is looked at beforehand by /folder.
    jobs = {path: odd.submit(path) for path in machines if path.startswith("EU/DC1/off") or path.endswith("db.vmdk")}
    assert len(jobs) == 4
    eu, us = (machines[f"{site}/DC1/pay-01"] for site in ("EU", "US"))
    replicas = [Replica(odd, one.moid) for one in (eu, us)]
    try:
        for one in (eu, us):
            odd.admin("vcenter", "POST", "witness", {"on": True, "vm": one.moid})
        first, other = (replica.run() for replica in replicas)  # each equal to its own machine's disks
        assert first.image_id != other.image_id
        replica = replicas[0]
        # Only the lock's owner serves the file: it is asked itself, and only what changed is read.
        replica.trouble("lock-owner")
        wanted = replica.write(extents=2)
        run = replica.run()
        assert run.figures is not None and (run.figures.sync, run.figures.moved) == (Sync.CHANGED, wanted)
        assert "only the host esx-1.eu.example can read its file" in odd.log(run.job_id)
        # Nobody serves it: a lease reads all, and says why.
        odd.fault("vcenter", operation="folder:GET", action="error", status=500, times=None)
        replica.write(extents=2)
        run = replica.run()
        assert "its host esx-1.eu.example answered HTTP 500. All is read by an export lease" in odd.log(run.job_id)
        odd.admin("vcenter", "DELETE", "faults")
        replica.trouble("no-lock-owner")
        replica.write(extents=2)
        run = replica.run()  # goes on from the last run that read by ranges
        assert run.figures is not None and run.figures.sync is Sync.CHANGED
    finally:
        for one in replicas:
            one.close()
    for path, job_id in jobs.items():
        odd.assert_equal(machines[path].moid, odd.wait(job_id, timeout=120))
