"""Which licence an import may ask for. LicenseType and UsageOperation exclude each other; Linux is BYOL only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import OsFamily
from vmie_tui.model.plan import LicenseType, Route
from vmie_tui.model.rules.systems import System

# ImportImage's own answer is not documented word for word (DF02 says "task fails with a message").
_WRONG_LICENCE = "a task failure"
RHEL, SLES = "Red Hat Enterprise Linux", "SUSE Linux Enterprise Server"
_VENDORS = {RHEL: ("rhel", "Red Hat Cloud Access", "LR7"), SLES: ("sles", "the SUSE Public Cloud Program", "LR8")}


def _values() -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = facts.load("licences")["usage_operations"]["values"]
    return values


def usage_operations(family: OsFamily) -> tuple[tuple[str, str], ...]:
    """(code, meaning) of the usage operations that fit an operating system; both Linux and Windows when unknown."""
    kinds = {
        OsFamily.LINUX: {"linux", "rhel", "sles"},
        OsFamily.WINDOWS_SERVER: {"windows-server"},
        OsFamily.WINDOWS_CLIENT: set[str](),
    }.get(family)
    return tuple((v["code"], v["platform_details"]) for v in _values() if kinds is None or v["os"] in kinds)


def default_licence(family: OsFamily) -> LicenseType | None:
    """What fits without asking: BYOL where nothing else does; None where the user must choose (trap 37)."""
    return LicenseType.BYOL if family in {OsFamily.LINUX, OsFamily.WINDOWS_CLIENT} else None


def licence_when_omitted(family: OsFamily) -> LicenseType | None:
    """What AWS takes when neither is given; None for a family the guides do not speak of."""
    found = facts.load("licences")["license_types"]["default_when_omitted"].get(family.value.replace("-", "_"))
    return LicenseType(found) if found else None


def check_licence(
    family: OsFamily,
    license_type: LicenseType | None,
    usage_operation: str | None,
    subject: str = "",
    *,
    system: System | None = None,
    route: Route = Route.IMAGE,
) -> Iterator[Finding]:
    """Findings about a choice of licence for a guest of ``family``; ``system`` tells RHEL from other Linux."""
    if route is Route.SNAPSHOT:
        return  # a snapshot has no licence
    if license_type and usage_operation:
        yield Finding(
            Severity.BLOCKER,
            "a licence type and a usage operation exclude each other",
            subject,
            "AWS refuses a request that gives both",
            remedy="Give one of them",
            fact="LR1",
        )
    yield from _license_type(family, license_type, subject, route)
    if usage_operation:
        yield from _usage_operation(family, usage_operation, subject, system, alone=not license_type)
    vendor = _VENDORS.get(system.product) if system is not None else None
    if vendor and license_type is LicenseType.BYOL:
        yield Finding(
            Severity.INFO,
            f"bring-your-own means {vendor[1]}",
            subject,
            "The subscription must be allowed in the cloud",
            remedy="Register it with the vendor before the import",
            fact=vendor[2],
        )
    if not license_type and not usage_operation:
        taken = licence_when_omitted(family)
        yield Finding(
            Severity.BLOCKER if family is OsFamily.WINDOWS_SERVER else Severity.WARNING,
            "no licence was chosen",
            subject,
            "Left out, Windows Server gets an AWS licence, and is billed for it"
            if taken is not LicenseType.BYOL
            else "Left out, AWS takes BYOL",
            "",
            "Choose BYOL, AWS or a usage operation",
            "LR2",
        )


def _license_type(family: OsFamily, license_type: LicenseType | None, subject: str, route: Route) -> Iterator[Finding]:
    if license_type is LicenseType.AWS and family in {OsFamily.LINUX, OsFamily.WINDOWS_CLIENT}:
        what = "Linux" if family is OsFamily.LINUX else "a Windows client system"
        yield Finding(
            Severity.BLOCKER,
            f"{what} can only bring its own licence",
            subject,
            "AWS supplies licences for Windows Server only",
            _WRONG_LICENCE,
            "Choose BYOL",
            "LR3" if family is OsFamily.LINUX else "LR4",
        )
    windows = family in {OsFamily.WINDOWS_SERVER, OsFamily.WINDOWS_CLIENT}
    if windows and route is Route.INSTANCE and license_type is LicenseType.BYOL:
        yield Finding(
            Severity.BLOCKER,
            "instance import cannot bring a Windows licence",
            subject,
            remedy="Import it as an image",
            fact="LR11",
        )
    elif windows and license_type is LicenseType.BYOL:
        yield Finding(
            Severity.INFO,
            "an own Windows licence asks for more than this import",
            subject,
            "Microsoft's terms: Dedicated Hosts, own keys, and a contract that allows it",
            remedy="Check your agreement; legal advice is yours to take",
            fact="LR13",
        )


def _usage_operation(
    family: OsFamily, code: str, subject: str, system: System | None, *, alone: bool
) -> Iterator[Finding]:
    fitting = {fit for fit, _ in usage_operations(family)}
    meant = [value for value in _values() if value["code"] == code]
    if code not in fitting:
        yield Finding(
            Severity.BLOCKER,
            f"usage operation {code} does not fit this operating system",
            subject,
            "The code names another system's licence" if meant else "AWS knows no such code",
            _WRONG_LICENCE,
            "Choose one of: " + ", ".join(sorted(fitting)) if fitting else "Choose BYOL",
            "LR9",
        )
        return
    kinds = {value["os"] for value in meant}
    for product, (kind, programme, fact) in _VENDORS.items():
        if kind not in kinds:
            continue
        known = system is not None and bool(system.product)
        if known and system is not None and system.product != product:
            yield Finding(
                Severity.BLOCKER,
                f"usage operation {code} is for {product}",
                subject,
                f"The guest is {system.name}",
                _WRONG_LICENCE,
                "Choose BYOL or RunInstances",
                "LR9",
            )
        else:
            yield Finding(
                Severity.WARNING,
                f"usage operation {code} contradicts what AWS says elsewhere",
                subject,
                f"The same guide takes BYOL only for Linux, with {programme}",
                _WRONG_LICENCE,
                "Prefer BYOL, unless AWS told you otherwise",
                fact,
            )
    if alone and any(value["sql"] not in {"none", "byol"} for value in meant):
        yield Finding(
            Severity.INFO,
            "SQL Server will be billed by AWS",
            subject,
            "AWS believes the code; that the edition is right is yours to answer for",
            fact="LR10",
        )
