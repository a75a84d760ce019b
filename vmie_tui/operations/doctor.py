"""The doctor: what is missing for imports and exports, the exact change that makes it, and policies to ask for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

from vmie_tui.model.doctor import USUAL_FEATURES, Check, DoctorReport, Feature, Fix, Group
from vmie_tui.model.errors import ServiceError
from vmie_tui.operations.connections import Connections
from vmie_tui.operations.jobs import Jobs
from vmie_tui.services.doctor import policies, run
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.read_only import Policy

USER, ROLE, TRUST, VCENTER = "user", "role", "trust", "vcenter"
POLICIES = (USER, ROLE, TRUST, VCENTER)


class Doctor:
    """Of the profile in use. Every method blocks: call it in a thread. Raises ServiceError.

    One session is kept for looking and for making changes.
    """

    def __init__(self, connections: Connections, jobs: Jobs) -> None:
        self._profile, self._state_dir = connections.profile, connections.settings.state_dir
        self._password, self._worker = connections.password, jobs.worker
        self._kept: Patient | None = None

    def patient(self, features: Collection[Feature] = USUAL_FEATURES) -> Patient:
        """What is looked at; closed with the doctor."""
        if self._kept is None:
            self._kept = Patient(
                self._profile, self._state_dir, frozenset(features), self._password, dict(os.environ), self._worker
            )
        return self._kept

    def examine(
        self,
        on_check: Callable[[Check], None] = lambda check: None,
        cancelled: Callable[[], bool] = lambda: False,
        *,
        groups: Collection[Group] = tuple(Group),
        features: Collection[Feature] = USUAL_FEATURES,
    ) -> DoctorReport:
        """Look anew and on new sessions: a login may have changed since."""
        self.close()
        return run.examine(self.patient(features), groups, on_check=on_check, cancelled=cancelled)

    # -- making what is missing

    def check_fix(self) -> None:
        """Raise ServiceError REFUSED where nothing may be changed."""
        Policy(self._profile.read_only).check_work("changed", self._profile.name)

    def apply(self, check: Check) -> Check:
        """Make what was shown; the check as it is then. CONFLICT when it is no longer as it was shown."""
        return run.apply(self.patient(), check)

    def fix_all(
        self, report: DoctorReport, agreed: Callable[[Check, Fix], bool]
    ) -> Iterator[tuple[Check, ServiceError | None]]:
        """Make every fix of the report that is ``agreed`` to, as it would be made now, and those that follow from one.

        Gives each check as it is then, or as it was with what went wrong.
        """
        done: set[str] = set()
        queue = list(report.fixable)
        while queue:
            check = run.look_again(self.patient(), queue.pop(0))
            if check.fix is None or check.id in done:
                continue
            done.add(check.id)
            if not agreed(check, check.fix):
                continue
            try:
                yield self.apply(check), None
            except ServiceError as error:
                yield check, error
                continue
            # What could not even be looked at before: the parts of a bucket or role that was not there.
            waiting = done | {other.id for other in queue}
            queue += [other for other in run.examine(self.patient(), (check.group,)).fixable if other.id not in waiting]

    # -- what an administrator is asked for

    def policy_document(self, which: str, features: Collection[Feature]) -> dict[str, Any]:
        """A least-privilege policy for the signed-in account, else with a placeholder; ``which``: of `POLICIES`."""
        if which == VCENTER:
            return policies.vcenter_role(features)
        place = policies.place_of(self.patient())
        if which == USER:
            return policies.user_policy(place, features)
        return policies.role_policies(place, features)["trust" if which == TRUST else "permissions"]

    def policy(self, which: str, features: Collection[Feature]) -> str:
        """The same as JSON."""
        return json.dumps(self.policy_document(which, features), indent=2, ensure_ascii=False)

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()
