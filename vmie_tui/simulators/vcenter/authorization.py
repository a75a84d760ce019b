"""The AuthorizationManager: which privileges an account has."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
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
    "VirtualMachine.Config.AdvancedConfig",
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


ADMIN, READ_ONLY, NO_ACCESS = -1, -2, -5


def _role(number: int, name: str, privileges: tuple[str, ...]) -> Any:
    about = data(vim.Description, label=name, summary=name)
    kind = vim.AuthorizationManager.Role
    return data(kind, roleId=number, system=True, name=name, info=about, privilege=list(privileges))


class Authorization:
    """The manager's methods."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self.manager = center.registry.add(Managed(vim.AuthorizationManager, "AuthorizationManager"))
        self.manager.props.update(
            roleList=[
                _role(ADMIN, "Admin", KNOWN),
                _role(READ_ONLY, "ReadOnly", KNOWN[:3]),
                _role(NO_ACCESS, "NoAccess", ()),
            ],
            privilegeList=[
                data(
                    vim.AuthorizationManager.Privilege,
                    privId=name,
                    name=name.rpartition(".")[2],
                    privGroupName=name.rpartition(".")[0],
                    onParent=False,
                )
                for name in KNOWN
            ],
        )

    def _held(self, entity: Any, privilege: str) -> bool:
        return self._center.privileges.held(privilege, self._center.registry.find(entity))

    def _permission(self) -> Any:
        """The account's own, on the root."""
        return data(
            vim.AuthorizationManager.Permission,
            entity=self._center.registry.objects["group-d1"].ref,
            principal=self._center.user,
            group=False,
            roleId=ADMIN,
            propagate=True,
        )

    # ---- SOAP methods

    def RetrieveEntityPermissions(self, call: Call, this: Managed, entity: Any, inherited: bool) -> list[Any]:
        managed = self._center.registry.find(entity)
        return [self._permission()] if inherited or managed.moid == "group-d1" else []

    def RetrieveAllPermissions(self, call: Call, this: Managed) -> list[Any]:
        return [self._permission()]

    def RetrieveRolePermissions(self, call: Call, this: Managed, role: int) -> list[Any]:
        if role not in (ADMIN, READ_ONLY, NO_ACCESS):
            raise vim.fault.NotFound(msg="The object or item referred to could not be found.")
        return [self._permission()] if role == ADMIN else []

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
