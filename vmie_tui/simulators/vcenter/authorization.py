"""The AuthorizationManager: asking what an account may do."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.center import Center
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.values import data

KNOWN = (
    "System.Anonymous",
    "System.View",
    "System.Read",
    "Datastore.AllocateSpace",
    "Datastore.Browse",
    "Datastore.FileManagement",
    "Network.Assign",
    "Sessions.ValidateSession",
    "VApp.Export",
    "VApp.Import",
    "VirtualMachine.Config.Annotation",
    "VirtualMachine.Config.ChangeTracking",
    "VirtualMachine.Config.Rename",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.Suspend",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Inventory.Unregister",
    "VirtualMachine.Provisioning.DiskRandomRead",
    "VirtualMachine.Provisioning.GetVmFiles",
    "VirtualMachine.State.CreateSnapshot",
    "VirtualMachine.State.RemoveSnapshot",
    "VirtualMachine.State.RevertToSnapshot",
)


class Authorization:
    """The manager's methods."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self.manager = center.registry.add(Managed(vim.AuthorizationManager, "AuthorizationManager"))

    def _held(self, entity: Any, privilege: str) -> bool:
        return self._center.privileges.held(privilege, self._center.registry.find(entity))

    # ---- SOAP methods

    def HasPrivilegeOnEntities(self, call: Call, this: Managed, entities: Any, session: str, wanted: Any) -> list[Any]:
        manager = vim.AuthorizationManager
        return [
            data(
                manager.EntityPrivilege,
                entity=entity,
                privAvailability=[
                    data(manager.PrivilegeAvailability, privId=name, isGranted=self._held(entity, name))
                    for name in wanted or KNOWN
                ],
            )
            for entity in entities
        ]

    def HasPrivilegeOnEntity(self, call: Call, this: Managed, entity: Any, session: str, wanted: Any) -> list[bool]:
        return [self._held(entity, name) for name in wanted or KNOWN]

    def FetchUserPrivilegeOnEntities(self, call: Call, this: Managed, entities: Any, user: str) -> list[Any]:
        return [
            data(
                vim.AuthorizationManager.UserPrivilegeResult,
                entity=entity,
                privileges=[name for name in KNOWN if user == self._center.user and self._held(entity, name)],
            )
            for entity in entities
        ]
