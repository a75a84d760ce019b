"""Runs of a replication against a guest that goes on writing: each image is of one moment, and little is moved."""

from __future__ import annotations

from tests.jobs.conftest import World
from tests.jobs.replicas import replicating
from vmie_tui.model.replication import Sync


def test_a_first_run_and_five_increments_of_a_guest_that_goes_on_writing(world: World) -> None:
    with replicating(world, "repl-01", keep=2) as replica:
        writer = {"vm": "repl-01", "every": 0.05, "bytes": 16384, "extents": 2, "zeros": 0.3}
        world.admin("vcenter", "POST", "writer", writer)
        first = replica.run()
        assert first.figures is not None
        assert first.figures.sync is Sync.FIRST
        for _ in range(5):
            run = replica.run()
            assert run.figures is not None
            assert run.figures.sync is Sync.CHANGED, run.figures.reason
            assert 0 < run.figures.changed <= run.figures.moved < run.figures.total
        assert len(replica.images) == 2
