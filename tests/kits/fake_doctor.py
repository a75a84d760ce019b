"""A doctor that finds what it is given; everything asked of it is in ``asked``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from dataclasses import replace

from vmie_tui.model.doctor import Change, Check, CheckState, DoctorReport, Feature, Fix, Group
from vmie_tui.model.errors import ServiceError

OK, WARNING, FAILED, SKIPPED = CheckState.OK, CheckState.WARNING, CheckState.FAILED, CheckState.SKIPPED
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "vmie.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
MAKE_ROLE = Fix(
    "role.make",
    "make the role vmimport with the documented trust",
    (Change("iam:CreateRole", "vmimport", {}, TRUST, {"RoleName": "vmimport"}),),
)
BLOCK = {"BlockPublicAcls": True, "BlockPublicPolicy": True}
CLOSE_BUCKET = Fix(
    "bucket.public",
    "block public access",
    (
        Change(
            "s3:PutPublicAccessBlock",
            "migration-eu-west-1",
            {**BLOCK, "BlockPublicPolicy": False},
            BLOCK,
            {"Bucket": "migration-eu-west-1"},
        ),
    ),
)


def some_checks() -> tuple[Check, ...]:
    return (
        Check("local.folder", Group.LOCAL, "State folder", OK, "/home/u/.local/state/vmie-tui, for you alone"),
        Check("local.tmux", Group.LOCAL, "Copying in tmux", WARNING, "tmux drops OSC 52", "Set set-clipboard on"),
        Check("aws.identity", Group.AWS, "Sign-in", OK, "arn:aws:iam::111122223333:user/ops"),
        Check("region.enabled", Group.REGION, "Region enabled", OK, "eu-west-1"),
        Check(
            "bucket.public",
            Group.BUCKET,
            "Public access",
            WARNING,
            "migration-eu-west-1 lets policies make it public",
            "Block it",
            "F100",
            CLOSE_BUCKET,
        ),
        Check("role.there", Group.ROLE, "Service role", FAILED, "there is no role vmimport", "Make it", "", MAKE_ROLE),
        Check("role.trust", Group.ROLE, "Its trust", SKIPPED, "there is no role vmimport"),
        Check(
            "permissions.import",
            Group.PERMISSIONS,
            "Import through S3",
            FAILED,
            "ec2:ImportImage and 3 more are not allowed [red]x[/red]\x1b[31m",
            "Give this user the policy that o prints",
        ),
        Check("vcenter.login", Group.VCENTER, "Session", OK, "svc-mig@vsphere.local"),
    )


class FakeDoctor:
    """``gate`` holds a look back after its second check; ``apply`` leaves the check in order."""

    def __init__(self, checks: tuple[Check, ...] | None = None) -> None:
        self.checks = some_checks() if checks is None else checks
        self.error: ServiceError | None = None
        self.apply_error: ServiceError | None = None
        self.gate: threading.Event | None = None
        self.asked: list[tuple[object, ...]] = []

    def examine(self, on_check: Callable[[Check], None], cancelled: Callable[[], bool]) -> DoctorReport:
        self.asked.append(("examine",))
        if self.error is not None:
            raise self.error
        for number, check in enumerate(self.checks):
            if number == 2 and self.gate is not None:
                self.gate.wait(20)
            on_check(check)
        return DoctorReport("prod", self.checks)

    def apply(self, check: Check) -> Check:
        self.asked.append(("apply", check.id))
        if self.apply_error is not None:
            raise self.apply_error
        made = replace(check, state=OK, reason="it is there now", fix=None)
        self.checks = tuple(made if each.id == check.id else each for each in self.checks)
        return made

    def policy(self, which: str, features: Collection[Feature]) -> str:
        self.asked.append(("policy", which, frozenset(features)))
        return json.dumps({"Version": "2012-10-17", "Statement": [{"Action": ["ec2:ImportImage"]}]}, indent=2)
