"""An account and a vCenter to look at, with what it takes to take things away from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kits.aws_world import BUCKET, REGION, settings_for
from tests.kits.vcenter_session import settings_for as vcenter_settings
from vmie_tui.model.doctor import USUAL_FEATURES, Check, CheckState, DoctorReport, Feature, Group
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.doctor import policies
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.doctor.run import apply, examine, look_again
from vmie_tui.settings import Profile
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import SimClock, TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator

PREFIX = "vmie/"
ROLE = "vmimport"
FIXABLE = (Group.BUCKET, Group.ROLE)
AWS_GROUPS = (Group.AWS, Group.REGION, Group.BUCKET, Group.ROLE, Group.PERMISSIONS)


@dataclass
class Clinic:
    """The simulators, a profile that leads to them, and an administrator's session."""

    aws: AwsSimulator
    patient: Patient
    admin: Aws

    def look(self, *groups: Group) -> DoctorReport:
        self.patient.forget()
        return examine(self.patient, groups or AWS_GROUPS)

    def check(self, ident: str) -> Check:
        """One check, made anew."""
        self.patient.forget()
        group = {"permissions": Group.PERMISSIONS, "pass-role": Group.PERMISSIONS}.get(ident.split(".", maxsplit=1)[0])
        return examine(self.patient, [group or Group(ident.split(".", maxsplit=1)[0])]).check(ident)

    def cure(self) -> None:
        """Make every fix there is, as ``--fix --yes`` does."""
        for _ in range(20):
            waiting = self.look(*FIXABLE).fixable
            if not waiting:
                return
            apply(self.patient, look_again(self.patient, waiting[0]))
        raise AssertionError("there is always one more fix")

    def client(self, service: str) -> Any:
        """Of the account's user; nobody limits it unless `limit` was called."""
        return self.admin.client(service, REGION)

    def trust(self, change: dict[str, Any]) -> None:
        document = {"Version": "2012-10-17", "Statement": [change]}
        self.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(document))

    def without(self, *actions: str) -> None:
        """The role's policy as doctor makes it, less these actions."""
        policy = policies.role_policies(self.place, USUAL_FEATURES)["permissions"]
        for statement in policy["Statement"]:
            statement["Action"] = [action for action in statement["Action"] if action not in actions]
        self.client("iam").put_role_policy(RoleName=ROLE, PolicyName=ROLE, PolicyDocument=json.dumps(policy))

    @property
    def place(self) -> policies.Place:
        own = f"arn:aws:iam::{self.aws.account}:user/engineer"
        return policies.Place(BUCKET, PREFIX, ROLE, self.aws.account, own_arn=own)

    def limit(self, features: frozenset[Feature] = USUAL_FEATURES, *, less: frozenset[str] = frozenset()) -> None:
        """Let the printed policy decide what the user may do; ``less``: without these actions."""
        policy = policies.user_policy(self.place, features)
        for statement in policy["Statement"]:
            statement["Action"] = [action for action in statement["Action"] if action not in less]
        policy["Statement"] = [statement for statement in policy["Statement"] if statement["Action"]]
        self.aws.limit(policy)


@contextmanager
def clinic(tls: TlsFiles, folder: Path, vcenter: VCenterSimulator | None = None) -> Iterator[Clinic]:
    """An account without anything; nothing but AWS, unless a vCenter is given too."""
    with AwsSimulator(folder / "aws", tls=tls, region=REGION, clock=SimClock()) as simulator:
        settings = settings_for(simulator, tls, folder)
        profile = Profile("ward", vcenter_settings(vcenter) if vcenter else None, settings)
        password = (lambda: vcenter.password) if vcenter else (lambda: None)
        admin = open_session(settings)
        with Patient(profile, folder / "state", password=password) as patient:
            yield Clinic(simulator, patient, admin)
        admin.close()


def bad(report: DoctorReport) -> set[str]:
    """Ids of what failed or is warned of."""
    return {check.id for check in report.checks if check.state in {CheckState.FAILED, CheckState.WARNING}}
