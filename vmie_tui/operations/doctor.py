"""What the Setup screen asks of the world: one protocol, and its real implementation over services/doctor.

Every method blocks: call it in a thread worker. Raises ServiceError.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol

from vmie_tui.model.doctor import Check, DoctorReport, Feature

if TYPE_CHECKING:
    from vmie_tui.operations.connections import Connections
    from vmie_tui.operations.jobs import JobClient
    from vmie_tui.services.doctor.patient import Patient

USER, ROLE, TRUST, VCENTER = "user", "role", "trust", "vcenter"


class Doctor(Protocol):
    def examine(self, on_check: Callable[[Check], None], cancelled: Callable[[], bool]) -> DoctorReport: ...
    def apply(self, check: Check) -> Check: ...
    def policy(self, which: str, features: Collection[Feature]) -> str: ...


class LiveDoctor:
    """One session is kept for looking and for making changes."""

    def __init__(self, connections: Connections, jobs: JobClient) -> None:
        self._profile, self._state_dir = connections.profile, connections.settings.state_dir
        self._password, self._worker = connections.password, jobs.worker
        self._kept: Patient | None = None

    def _patient(self) -> Patient:
        if self._kept is None:
            from vmie_tui.services.doctor.patient import Patient

            self._kept = Patient(
                self._profile,
                self._state_dir,
                password=self._password,
                environ=dict(os.environ),
                worker=self._worker,
            )
        return self._kept

    def examine(self, on_check: Callable[[Check], None], cancelled: Callable[[], bool]) -> DoctorReport:
        """Everything, anew and on new sessions: a login may have changed since."""
        from vmie_tui.services.doctor.run import examine

        self.close()
        return examine(self._patient(), on_check=on_check, cancelled=cancelled)

    def apply(self, check: Check) -> Check:
        """Make what was shown; the check as it is then. CONFLICT when it is no longer as it was shown."""
        from vmie_tui.services.doctor.run import apply

        return apply(self._patient(), check)

    def policy(self, which: str, features: Collection[Feature]) -> str:
        """A least-privilege policy as JSON, for the signed-in account, else with a placeholder."""
        from vmie_tui.services.doctor import policies

        if which == VCENTER:
            found: Any = policies.vcenter_role(features)
        else:
            place = policies.place_of(self._patient())
            roles = policies.role_policies(place, features)
            documents = {USER: policies.user_policy(place, features), ROLE: roles["permissions"], TRUST: roles["trust"]}
            found = documents[which]
        return json.dumps(found, indent=2, ensure_ascii=False)

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()
