"""Which licence an import may ask for. LicenseType and UsageOperation exclude each other; Linux is BYOL only."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import OsFamily
from vmie_tui.model.plan import LicenseType

# ImportImage's own answer is not documented word for word (DF02 says "task fails with a message").
_WRONG_LICENCE = "a task failure"


def usage_operations(family: OsFamily) -> tuple[tuple[str, str], ...]:
    """(code, meaning) of the usage operations that fit an operating system; both Linux and Windows when unknown."""
    kinds = {
        OsFamily.LINUX: {"linux", "rhel", "sles"},
        OsFamily.WINDOWS_SERVER: {"windows-server"},
        OsFamily.WINDOWS_CLIENT: set[str](),
    }.get(family)
    values = facts.load("licences")["usage_operations"]["values"]
    return tuple((v["code"], v["platform_details"]) for v in values if kinds is None or v["os"] in kinds)


def default_licence(family: OsFamily) -> LicenseType | None:
    """What fits without asking: BYOL where nothing else does; None where the user must choose (trap 37)."""
    return LicenseType.BYOL if family in {OsFamily.LINUX, OsFamily.WINDOWS_CLIENT} else None


def check_licence(
    family: OsFamily, license_type: LicenseType | None, usage_operation: str | None, subject: str = ""
) -> Iterator[Finding]:
    """Findings about a choice of licence for a guest of ``family``."""
    if license_type and usage_operation:
        yield Finding(
            Severity.BLOCKER,
            "a licence type and a usage operation exclude each other",
            subject,
            "AWS refuses a request that gives both",
            remedy="Give one of them",
            fact="LR1",
        )
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
    if usage_operation and usage_operation not in {code for code, _ in usage_operations(family)}:
        yield Finding(
            Severity.BLOCKER,
            f"usage operation {usage_operation} does not fit this operating system",
            subject,
            "The code names another system's licence",
            _WRONG_LICENCE,
            "Choose one of: " + ", ".join(sorted({code for code, _ in usage_operations(family)})),
            "LR9",
        )
    if not license_type and not usage_operation:
        yield Finding(
            Severity.BLOCKER if family is OsFamily.WINDOWS_SERVER else Severity.WARNING,
            "no licence was chosen",
            subject,
            "Left out, Windows Server gets an AWS licence, and is billed for it",
            "",
            "Choose BYOL, AWS or a usage operation",
            "LR2",
        )
