"""Which privileges the account has: all of them, less what was taken away."""

from __future__ import annotations

from pyVmomi import vim

from vmie_tui.simulators.vcenter.registry import Managed


class Privileges:
    """Privileges by object; a rule on an object holds for what lies in it, the nearest rule wins."""

    def __init__(self) -> None:
        self._rules: dict[tuple[str, str | None], bool] = {}
        self.version = 0  # goes up with each change

    def revoke(self, privilege: str, moid: str | None = None) -> None:
        """Revokes a privilege, everywhere or on one object and below."""
        self._rules[privilege, moid] = False
        self.version += 1

    def grant(self, privilege: str, moid: str | None = None) -> None:
        """Grants a privilege again; everywhere without an object."""
        if moid is None:
            self._rules = {rule: held for rule, held in self._rules.items() if rule[0] != privilege}
        else:
            self._rules[privilege, moid] = True
        self.version += 1

    def held(self, privilege: str, managed: Managed) -> bool:
        if not self._rules:
            return True
        for node in managed.up():
            rule = self._rules.get((privilege, node.moid))
            if rule is not None:
                return rule
        return self._rules.get((privilege, None), True)

    def check(self, privilege: str, managed: Managed) -> None:
        """Raise NoPermission, naming the object and the privilege."""
        if not self.held(privilege, managed):
            raise denied(privilege, managed)


def denied(privilege: str, managed: Managed) -> Exception:
    fault: Exception = vim.fault.NoPermission(
        object=managed.ref, privilegeId=privilege, msg="Permission to perform this operation was denied."
    )
    return fault
