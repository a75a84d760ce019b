"""Pictures of the forms of replications, kept beside this file; look at them before accepting a change."""

from __future__ import annotations

from dataclasses import replace

from tests.kits.fake_backend import FakeOperations
from tests.kits.fake_replications import (
    NOTE,
    NOW,
    RDM,
    WARNED,
    FakeReplicas,
    catalogue_of,
    final,
    some_replicas,
    steady,
)
from tests.kits.pictures import picture


def operations_of() -> FakeOperations:
    operations = FakeOperations()
    operations.replications = FakeReplicas([steady(1, "web-01"), steady(2, "ubuntu-build", final(), paused=True)])
    operations.replications.found_of = {"db-rdm": (RDM,), "web-01": (WARNED, NOTE), "win-file-01": (NOTE,)}
    return operations


def test_form_of_a_replication(snap_compare) -> None:
    assert picture(snap_compare, operations_of(), "R", marked=("vm-1", "vm-4", "vm-6"))


def test_change_of_a_replication(snap_compare) -> None:
    operations = operations_of()
    assert picture(snap_compare, operations, "5 down e tab plus 3 0 m", (120, 36))


def test_cutover_that_is_done(snap_compare) -> None:
    assert picture(snap_compare, operations_of(), "5 C")


def test_catalogue(snap_compare) -> None:
    operations = operations_of()
    known = catalogue_of("web-01", "db-01", "win-file-01", "サーバー東京-01", modified=NOW - 7200)
    of = {"web-01": some_replicas()[0].id}
    servers = tuple(replace(server, replication_id=of.get(server.name, "")) for server in known.servers)
    operations.replications.servers = replace(known, servers=servers)
    assert picture(snap_compare, operations, "5 c space")
