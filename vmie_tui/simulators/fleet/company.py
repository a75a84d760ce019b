"""A plausible company's vCenter: three datacenters, some 250 machines, every kind of problem, a few real disks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from vmie_tui.simulators.fleet.estate import DATACENTERS, disks, vm
from vmie_tui.simulators.fleet.groups import ordinary
from vmie_tui.simulators.fleet.problems import troubled
from vmie_tui.simulators.fleet.real_disk_machines import heroes
from vmie_tui.simulators.spec import FleetSpec, VmSpec

_PAD_GUESTS = ("win10", "win11", "ubuntu2204", "debian12", "rhel9", "ws2019", "rocky9", "ws2022", "rhel8", "centos7")
_PAD_PLACES = ("dub-office", "dub", "fra-app", "fra-staging", "lab")
_PAD_SIZES = (8, 20, 40, 60, 80, 120, 250, 500)
_PER_POOL = 250


def company(*, scale: int | None = None) -> FleetSpec:
    """The demo's fleet, the same in every run. ``scale`` adds generated machines until there are so many in all."""
    named = _named()
    return FleetSpec(DATACENTERS, (*named, *_padding((scale or 0) - len(named))))


@cache
def _named() -> tuple[VmSpec, ...]:
    return (*heroes(), *ordinary(), *troubled())


def _padding(count: int) -> Iterator[VmSpec]:
    """``count`` machines in pools of 250, a folder each: no vCenter keeps 20,000 machines in one folder."""
    for number in range(count):
        place = _PAD_PLACES[number // _PER_POOL % len(_PAD_PLACES)]
        yield vm(
            f"pool{number // _PER_POOL + 1:03}-{number % _PER_POOL + 1:03}",
            place,
            f"Pools/Pool {number // _PER_POOL + 1:03}",
            _PAD_GUESTS[number % len(_PAD_GUESTS)],
            disks(_PAD_SIZES[number % len(_PAD_SIZES)]),
            power="off" if number % 5 == 4 else "on",
            cpus=1 << number % 4,
            memory_mib=2048 << number % 5,
            snapshots=1 if number % 37 == 0 else 0,
            cdrom_connected=number % 53 == 0,
        )
