"""The machines of the demo that carry real disks: what a visitor filters for, selects and imports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from vmie_tui.simulators.fleet.estate import vm
from vmie_tui.simulators.fleet.tiny import MIB, make_data, make_linux
from vmie_tui.simulators.spec import DiskSpec, VmSpec


def _boot(size: int, data: int, seed: str) -> DiskSpec:
    return DiskSpec(size * MIB, partial(make_linux, capacity=size * MIB, data=data * MIB, seed=seed))


def heroes() -> Iterator[VmSpec]:
    """Machines with content on every disk."""
    yield vm("web-01", "fra-web", "Production/Web", "debian12", (_boot(2048, 150, "web-01"),), power="off")
    yield vm("web-02", "fra-web", "Production/Web", "ubuntu2204", (_boot(2048, 150, "web-02"),), power="off")
    yield vm("app-01", "fra-app", "Production/Apps", "rhel9", (_boot(1024, 90, "app-01"),))
    yield vm("win-fs01", "fra-infra", "Office/Files", "ws2019", (_boot(8192, 120, "win-fs01"),), power="off")
    data = DiskSpec(512 * MIB, partial(make_data, capacity=512 * MIB, data=80 * MIB, seed="db-01 data"))
    yield vm("db-01", "fra-db", "Production/Databases", "debian12", (_boot(1024, 60, "db-01"), data), power="off")
