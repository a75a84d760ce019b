"""A simulated vCenter with the tiny fleet, and the settings that lead to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmie_tui.model.machine import Machine
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.settings import VCenterSettings
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.server import VCenterSimulator


def simulator(root: Path, tls: TlsFiles, **options: Any) -> VCenterSimulator:
    """Not started yet; quick tasks and leases unless told otherwise."""
    return VCenterSimulator(tiny(), root, tls=tls, **{"lease_seconds": 0.02, "task_seconds": 0.02, **options})


def settings_for(vcenter: VCenterSimulator, **changes: Any) -> VCenterSettings:
    return VCenterSettings(
        **{
            "host": vcenter.host,
            "user": vcenter.user,
            "port": vcenter.port,
            "ca_file": vcenter.tls.ca,
            "thumbprint": None,
            **changes,
        }
    )


def log_in(vcenter: VCenterSimulator, **changes: Any) -> VSphere:
    return connect(settings_for(vcenter, **changes), vcenter.password)


def named(vsphere: VSphere, name: str) -> Machine:
    return next(machine for machine in read_inventory(vsphere).machines if machine.name == name)
