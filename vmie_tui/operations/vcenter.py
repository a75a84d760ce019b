"""What is asked of the profile's vCenter: its machines, and where a new one can be put."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from vmie_tui.model.deploy_places import DeployPlaces
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Inventory, Machine
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.operations.connections import Connections, open_vcenter
from vmie_tui.services.vsphere.cache import load_cached, save_cached
from vmie_tui.services.vsphere.deploy_places import read_deploy_places
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.settings import Profile, Settings

OnPage = Callable[[Sequence[Machine], int], None]


class VCenter:
    """Every method may block: call it in a thread. Raises ServiceError."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def has_password(self) -> bool:
        return self._connections.password() is not None

    def set_password(self, password: str) -> None:
        self._connections.type_password(password)

    def cached_inventory(self) -> Inventory | None:
        """The inventory as it was last read, from this machine's disk."""
        vcenter = self._connections.profile.vcenter
        return load_cached(self._connections.settings.cache_dir, vcenter) if vcenter is not None else None

    def inventory(
        self, on_page: OnPage = lambda machines, total: None, cancelled: Callable[[], bool] = lambda: False
    ) -> Inventory:
        """All machines, read from vCenter now and kept for `cached_inventory`."""
        vcenter = self._connections.vcenter()
        try:
            with self._connections.vsphere() as vsphere:
                found = read_inventory(vsphere, on_page=on_page, cancelled=cancelled)
        except ServiceError as error:
            if error.kind is ErrorKind.LOGIN:
                self._connections.forget_password()
            raise
        if not cancelled():
            with contextlib.suppress(ServiceError):  # without room to keep it the list is still good
                save_cached(self._connections.settings.cache_dir, vcenter, found)
        return found

    def machine_of(self, plan: ImportPlan) -> Machine | None:
        """The machine a plan imports, as the inventory kept on disk knows it; None when it does not."""
        cached = self.cached_inventory() if isinstance(plan.source, VmSource) else None
        machines = cached.machines if cached is not None else ()
        return next((machine for machine in machines if machine.moid == plan.vm.moid), None)

    def deploy_places(self) -> DeployPlaces:
        """Where in vCenter a new machine can be put."""
        with self._connections.vsphere() as vsphere:
            return read_deploy_places(vsphere)


def inventory_of(profile: Profile, settings: Settings, *, warn: Callable[[ServiceError], None]) -> Inventory:
    """All machines by a session of its own; kept on disk. ``warn`` hears why they could not be kept."""
    with open_vcenter(profile) as vsphere:
        found = read_inventory(vsphere)
    assert profile.vcenter is not None
    try:
        save_cached(settings.cache_dir, profile.vcenter, found)
    except ServiceError as error:  # the list itself is good
        warn(error)
    return found
