"""What can be said about an import plan before anything is asked of AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Firmware, Machine
from vmie_tui.model.plan import ImportPlan, LicenseType, Route
from vmie_tui.model.rules.boot import check_boot
from vmie_tui.model.rules.disks import BY_IMAGE
from vmie_tui.model.rules.legacy import check_legacy
from vmie_tui.model.rules.licensing import check_licence
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.routes import check_route, needs_bucket, needs_role
from vmie_tui.model.rules.secrets import check_tag_names, check_texts
from vmie_tui.model.rules.supported_systems import check_region
from vmie_tui.model.rules.systems import System, system_of

# General S3, EC2 and KMS naming rules (not in the guides).
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
AMI_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}")
KMS_KEY = re.compile(
    r"(?:arn:[a-z-]+:kms:(?P<region>[a-z0-9-]+):\d{12}:(?:key|alias)/|alias/)?[A-Za-z0-9/_-]{1,256}", re.ASCII
)
TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX, KEY_MAX = 128, 256, 50, 1024
CONVERTED = BY_IMAGE | {Route.INSTANCE}  # AWS changes the guest, so its system counts
OWN_TAGS = 6  # Name, source VM, job and version are added to the user's, by a replication its id and its run's too


def check_plan(plan: ImportPlan, machine: Machine) -> tuple[Finding, ...]:
    """Findings on the machine and on what is to be done with it, worst first."""
    system = system_of(machine)
    found = [
        *check_machine(machine, route=plan.route, via=plan.via),
        *_licence(plan, machine, system),
        *_target(plan),
        *_encryption(plan),
        *_tags(plan),
        *check_texts(_texts(plan)),
        *check_tag_names(plan.tags),
        *check_boot(plan, machine),
        *check_route(plan, machine),
        *check_legacy(plan, machine),
    ]
    if plan.region and plan.route in CONVERTED:
        found += check_region(system, plan.region, uefi=machine.firmware is Firmware.UEFI)
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _licence(plan: ImportPlan, machine: Machine, system: System) -> Iterator[Finding]:
    """Only ImportImage is told a licence; the other calls have no parameter for one."""
    found = check_licence(
        machine.os_family,
        plan.license_type,
        plan.usage_operation,
        machine.name,
        system=system,
        route=plan.route,
    )
    chosen = plan.license_type or plan.usage_operation
    if plan.route in BY_IMAGE or (chosen and plan.route is Route.INSTANCE):
        yield from found
    elif plan.route is Route.UNMODIFIED and (plan.usage_operation or plan.license_type is LicenseType.AWS):
        yield _blocker(
            "an unmodified import cannot ask for a licence of AWS",
            machine.name,
            "Leave it out (the source's licence goes on), or import it as an image",
        )


def _blocker(what: str, subject: str, remedy: str, fact: str = "") -> Finding:
    return Finding(Severity.BLOCKER, what, subject, remedy=remedy, fact=fact)


def _target(plan: ImportPlan) -> Iterator[Finding]:
    if not plan.region:
        yield _blocker("no Region was chosen", "target", "Name the Region the AMI is wanted in", "F207")
    if needs_bucket(plan):
        yield from _bucket(plan)
    if plan.ami_name and not AMI_NAME.fullmatch(plan.ami_name):
        yield _blocker(
            "is no valid AMI name", plan.ami_name, "3 to 128 letters, digits, spaces and ( ) [ ] . / - ' @ _"
        )
    if plan.role_name and needs_role(plan) and not ROLE_NAME.fullmatch(plan.role_name):
        yield _blocker(
            "is no valid role name", plan.role_name, "Give its name, not its ARN: 64 letters at most", "F161"
        )
    if plan.route is Route.INSTANCE:
        yield Finding(
            Severity.WARNING,
            "instance import is the old way",
            "target",
            "AWS strongly recommends to import as an image instead",
            fact="F258",
        )


def _bucket(plan: ImportPlan) -> Iterator[Finding]:
    if not plan.bucket:
        yield _blocker("no bucket was chosen", "target", "Name a bucket in that Region", "F207")
    elif not BUCKET_NAME.fullmatch(plan.bucket):
        yield _blocker("is no valid bucket name", plan.bucket, "3 to 63 lower-case letters, digits, dots and hyphens")
    if len(plan.prefix.encode()) + len(plan.source.name.encode()) > KEY_MAX - 64:
        yield _blocker("is too long for an S3 key", "prefix", "Shorten it")


def _encryption(plan: ImportPlan) -> Iterator[Finding]:
    key = plan.kms_key_id or ""
    if key and not plan.encrypted:
        yield _blocker("a KMS key needs encryption", key, "Turn encryption on, or leave the key out", "X05")
    match = KMS_KEY.fullmatch(key)
    if key and not match:
        yield _blocker("is no KMS key", key, "Give a key id, alias/NAME, or an ARN", "F216")
    elif match and match["region"] and plan.region and match["region"] != plan.region:
        yield _blocker(
            f"the KMS key is in {match['region']}, the import in {plan.region}",
            key,
            "Name a key of that Region",
            "F215",
        )
    elif key and plan.encrypted and needs_role(plan) and key not in {"alias/aws/ebs", ""}:
        yield Finding(
            Severity.INFO,
            "the service role needs the KMS statement for this key",
            plan.role_name,
            "The key must stay enabled until the task has ended",
            str(facts.error("E06")["message"]),
            "See that the role may use it",
            "F168",
        )


def _tags(plan: ImportPlan) -> Iterator[Finding]:
    if len(plan.tags) > TAGS_MAX - OWN_TAGS:
        yield _blocker(f"{len(plan.tags)} tags are too many", "tags", f"At most {TAGS_MAX - OWN_TAGS}")
    for key, value in plan.tags.items():
        if not key or len(key) > TAG_KEY_MAX or len(value) > TAG_VALUE_MAX or key.lower().startswith("aws:"):
            yield _blocker(
                "is no valid tag", key or "(empty)", f"Key up to {TAG_KEY_MAX}, value up to {TAG_VALUE_MAX}, not aws:"
            )


def _texts(plan: ImportPlan) -> dict[str, str]:
    """Everything the user wrote that AWS keeps."""
    tags = {f"tag {key}": f"{key}={value}" for key, value in plan.tags.items()}
    return {"description": plan.description, "AMI name": plan.ami_name, "prefix": plan.prefix, **tags}
