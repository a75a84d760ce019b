"""What can be said about an import plan before anything is asked of AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Firmware, Machine
from vmie_tui.model.plan import BootMode, ImportPlan
from vmie_tui.model.rules.licensing import check_licence
from vmie_tui.model.rules.machine import check_machine

# General S3 and EC2 naming rules (not in the guides).
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
AMI_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX, KEY_MAX = 128, 256, 50, 1024
OWN_TAGS = 3  # source VM, job, tool version are added to the user's


def check_plan(plan: ImportPlan, machine: Machine) -> tuple[Finding, ...]:
    """Findings on the machine and on what is to be done with it, worst first."""
    family = machine.os_family
    found = [
        *check_machine(machine),
        *check_licence(family, plan.license_type, plan.usage_operation, machine.name),
        *_target(plan),
        *_encryption(plan),
        *_tags(plan),
        *_boot(plan, machine),
    ]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _blocker(what: str, subject: str, remedy: str, fact: str = "") -> Finding:
    return Finding(Severity.BLOCKER, what, subject, remedy=remedy, fact=fact)


def _target(plan: ImportPlan) -> Iterator[Finding]:
    if not plan.region:
        yield _blocker("no Region was chosen", "target", "Name the Region the AMI is wanted in", "F207")
    if not plan.bucket:
        yield _blocker("no bucket was chosen", "target", "Name a bucket in that Region", "F207")
    elif not BUCKET_NAME.fullmatch(plan.bucket):
        yield _blocker("is no valid bucket name", plan.bucket, "3 to 63 lower-case letters, digits, dots and hyphens")
    if plan.ami_name and not AMI_NAME.fullmatch(plan.ami_name):
        yield _blocker(
            "is no valid AMI name", plan.ami_name, "3 to 128 letters, digits, spaces and ( ) [ ] . / - ' @ _"
        )
    if len(plan.prefix.encode()) + len(plan.source.name.encode()) > KEY_MAX - 64:
        yield _blocker("is too long for an S3 key", "prefix", "Shorten it")


def _encryption(plan: ImportPlan) -> Iterator[Finding]:
    if plan.kms_key_id and not plan.encrypted:
        yield _blocker("a KMS key needs encryption", plan.kms_key_id, "Turn encryption on, or leave the key out", "X05")


def _tags(plan: ImportPlan) -> Iterator[Finding]:
    if len(plan.tags) > TAGS_MAX - OWN_TAGS:
        yield _blocker(f"{len(plan.tags)} tags are too many", "tags", f"At most {TAGS_MAX - OWN_TAGS}")
    for key, value in plan.tags.items():
        if not key or len(key) > TAG_KEY_MAX or len(value) > TAG_VALUE_MAX or key.lower().startswith("aws:"):
            yield _blocker(
                "is no valid tag", key or "(empty)", f"Key up to {TAG_KEY_MAX}, value up to {TAG_VALUE_MAX}, not aws:"
            )


def _boot(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    if "windows 11" in machine.os_name.lower() and plan.boot_mode is not BootMode.UEFI:
        yield Finding(
            Severity.WARNING, "Windows 11 wants boot mode uefi", machine.name, fact="F100", remedy="Choose uefi"
        )
    if plan.boot_mode is BootMode.LEGACY_BIOS and machine.firmware is Firmware.UEFI:
        yield Finding(
            Severity.WARNING,
            "the VM boots by UEFI, the plan says legacy-bios",
            machine.name,
            why="It may not boot on EC2",
            remedy="Leave the boot mode out, or choose uefi",
            fact="F094",
        )
