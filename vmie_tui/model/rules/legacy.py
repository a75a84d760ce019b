"""What ImportInstance and ImportVolume take and leave: findings on a plan for the instance route.

Regions, the number of disks and Windows clients are `routes`' to judge, sizes and formats `disks`' and `formats`'.
What the calls have no parameter for is told from the API model (X13): encryption, boot mode, tags, licences.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine, OsFamily
from vmie_tui.model.plan import ImportPlan, LegacyInstance, Route

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
CLASSES = {  # facts: instance_import.linux_instance_types, and the feature each list comes from
    "general_purpose": "F262",
    "compute_optimized": "F263",
    "memory_optimized": "F264",
    "storage_optimized": "F265",
}


@cache
def linux_types() -> tuple[str, ...]:
    """The instance types a Linux may be imported to, as the guides list them (F262 to F265)."""
    listed = facts.load("constraints")["instance_import"]["linux_instance_types"]
    return tuple(str(name) for group in CLASSES for name in listed[group])


def platform_of(machine: Machine) -> str:
    """The Platform that ImportInstance requires: Windows or Linux."""
    windows = machine.os_family in {OsFamily.WINDOWS_SERVER, OsFamily.WINDOWS_CLIENT}
    return "Windows" if windows else "Linux"


def check_legacy(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    """Findings on a plan for the instance route; of any other, only that its answers do not belong there."""
    if plan.route is not Route.INSTANCE:
        if plan.legacy is not None:
            yield Finding(
                B,
                "instances and volumes of the old call are made by the instance route",
                "target",
                remedy="Take that route, or leave them out",
            )
        return
    legacy = plan.legacy or LegacyInstance()
    yield from _place(plan, legacy)
    if not legacy.volume_only:
        yield from _instance_type(legacy, machine)
    yield from _no_parameter_for(plan, legacy)
    yield Finding(
        I,
        "the AWS CLI does not offer this call",
        "target",
        "The API is used as it is; it knows no client token and no service role, and reads the parts by signed URLs "
        "that work for seven days, with temporary credentials only as long as these",
        fact="F259",
    )


def _place(plan: ImportPlan, legacy: LegacyInstance) -> Iterator[Finding]:
    zone, volume = legacy.availability_zone, legacy.volume_only
    if volume and not zone:
        yield Finding(B, "no Availability Zone was chosen", "volume", "A volume is in one", "", "Name a zone", "F253")
    elif zone and plan.region and not (zone.startswith(plan.region) and len(zone) > len(plan.region)):
        yield Finding(B, f"is not a zone of {plan.region}", zone, remedy="Name a zone of the import's Region")
    if legacy.subnet_id and not legacy.subnet_id.startswith("subnet-"):
        yield Finding(B, "is no subnet", legacy.subnet_id, remedy="Give its id, subnet-...")
    elif legacy.subnet_id and volume:
        yield Finding(W, "a volume has no subnet", legacy.subnet_id, remedy="Leave it out")
    elif legacy.subnet_id and zone:
        yield Finding(I, "the subnet decides the zone", legacy.subnet_id, f"{zone} is not sent")
    if legacy.instance_type and volume:
        yield Finding(W, "a volume has no instance type", legacy.instance_type, remedy="Leave it out")


def _instance_type(legacy: LegacyInstance, machine: Machine) -> Iterator[Finding]:
    kind = legacy.instance_type
    if platform_of(machine) == "Windows":
        if not kind:
            yield Finding(B, "no instance type was chosen", "target", remedy="Name one; most will do", fact="F261")
        return
    if machine.os_family is OsFamily.OTHER:
        yield Finding(
            W,
            "the guest is taken for a Linux",
            machine.name,
            "ImportInstance wants to know the platform, and knows Windows and Linux only",
            remedy="Check what it is",
            fact="X13",
        )
    if not kind:
        yield Finding(
            B, "no instance type was chosen", "target", "", str(facts.error("E28")["message"]), _choice(), "F262"
        )
    elif kind not in linux_types():
        yield Finding(
            B,
            f"a Linux cannot be imported to {kind}",
            machine.name,
            "The old call knows old instance types only",
            str(facts.error("E28")["message"]),
            _choice(),
            "F262",
        )


def _choice() -> str:
    listed = facts.load("constraints")["instance_import"]["linux_instance_types"]
    groups = (f"{group.partition('_')[0]}: {', '.join(listed[group])}" for group in CLASSES)
    return f"Choose one of {'; '.join(groups)}"


def _no_parameter_for(plan: ImportPlan, legacy: LegacyInstance) -> Iterator[Finding]:
    """What was asked for and the calls cannot be told: a blocker where the result would be another one."""
    what = "ImportVolume" if legacy.volume_only else "ImportInstance"
    if plan.encrypted or plan.kms_key_id:
        yield Finding(
            B,
            f"{what} cannot be told to encrypt",
            "target",
            "The volume is encrypted only where EBS encryption by default is on",
            remedy="Turn that on in the Region and leave encryption out here, or import it as an image",
            fact="X13",
        )
    if plan.boot_mode:
        yield Finding(
            B,
            f"{what} knows no boot mode",
            str(plan.boot_mode),
            "It boots by legacy BIOS from an MBR disk",
            remedy="Leave the boot mode out, or import it as an image",
            fact="F268",
        )
    if plan.usage_operation:
        yield Finding(
            B,
            f"{what} knows no usage operation",
            plan.usage_operation,
            remedy="Leave it out, or import it as an image",
            fact="X13",
        )
    if plan.tags:
        yield Finding(I, f"{what} takes no tags", "tags", "They are set on the result afterwards", fact="X13")
