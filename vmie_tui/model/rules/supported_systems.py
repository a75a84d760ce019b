"""What the list of systems says about a guest: architecture, release, end of life, Region, kernel."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.rules import matrix
from vmie_tui.model.rules.systems import Coverage, System

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
UNKNOWN_OS, BAD_KERNEL = "E15", "E27"
_END_OF_LIFE = dict.fromkeys(("CentOS", "Debian", "Fedora"), "F047")


def check_system(system: System, subject: str = "") -> Iterator[Finding]:
    """Architecture, place in the list of systems, end of life."""
    subject = subject or system.name
    yield from _architecture(system, subject)
    yield from check_listed(system, subject)


def check_listed(system: System, subject: str) -> Iterator[Finding]:
    """The place in the list of systems, and the end of life; the same for a system named by vCenter or by its disks."""
    yield from _coverage(system, subject)
    yield from _end_of_life(system, subject)


def _architecture(system: System, subject: str) -> Iterator[Finding]:
    i386 = facts.load("guests")["operating_systems"]["architecture"]["i386"]
    if system.arm:
        yield Finding(
            B,
            "ARM64 guests are not accepted",
            subject,
            "VM import takes x86 only",
            "",
            "Rebuild it on AWS Graviton",
            "F043",
        )
    elif system.bits == 32 and not system.windows:
        yield Finding(
            B,
            "32-bit Linux is not accepted" if _linux(system) else "a 32-bit system is not accepted",
            subject,
            "VM import takes 64-bit Linux only",
            str(facts.error(BAD_KERNEL)["message"]),
            "Move the application to a 64-bit system",
            "F074",
        )
    elif system.bits == 32 and system.rows and not any(32 in row.bits for row in system.rows):
        yield Finding(
            B,
            f"the 32-bit {system.name} is not accepted",
            subject,
            "Of this system AWS lists the 64-bit version only",
            str(facts.error(UNKNOWN_OS)["message"]),
            "Move the application to a 64-bit system",
            "IC12",
        )
    elif system.bits == 32 and system.windows:
        yield Finding(
            B,
            f"32-bit systems are not supported since {i386['unsupported_from']}",
            subject,
            f"Since then {i386['words']}",
            "",
            "Move the application to a 64-bit system, or take the unmodified route",
            "F045",
            "i386",
        )


def _linux(system: System) -> bool:
    return not system.product or "Linux" in system.product or system.product in matrix.products()


def _coverage(system: System, subject: str) -> Iterator[Finding]:
    rows = ", ".join(_spans(system))
    if system.coverage is Coverage.OUTSIDE:
        yield Finding(
            B,
            f"{system.name} is not in the list of systems",
            subject,
            "VM import recognises, and changes, listed systems only",
            str(facts.error(UNKNOWN_OS)["message"]),
            "Upgrade or move it to a listed system, or take the unmodified route",
            "IC20",
            "unsupported-os",
        )
    elif system.coverage is Coverage.NEWER:
        newest = ".".join(f"{part:02}" if at else str(part) for at, part in enumerate(matrix.newest(system.product)))
        yield Finding(
            W,
            f"{system.name} is newer than the list of systems",
            subject,
            f"The list, read on {matrix.seen()}, ends with {system.product} {newest}; AWS may have added it since",
            str(facts.error(UNKNOWN_OS)["message"]),
            "Take the unmodified route, which does not depend on the list; or try one machine, and fall back to it",
            "IC20",
            "newer-system",
        )
    elif system.coverage is Coverage.UNKNOWN:
        yield Finding(
            W,
            "the guest system is not one VM import lists",
            subject or "unknown",
            "Nothing says what it is",
            str(facts.error(UNKNOWN_OS)["message"]),
            "Check the list of systems, or take the unmodified route",
            "IC20",
            "unknown-system",
        )
    elif system.coverage is Coverage.POINT:
        yield Finding(
            W,
            f"{system.name} is not among the listed versions",
            subject,
            f"Listed: {rows}",
            str(facts.error(BAD_KERNEL)["message"]),
            "Compare its kernel with the list before the upload",
            "IC20",
            "point-release",
        )
    elif system.coverage is Coverage.MAYBE and not system.rows:
        yield Finding(
            W,
            f"the version of {system.product} is not known",
            subject,
            "Only some versions are listed",
            "",
            "Run VMware Tools to see the version, or check it in the guest",
            "IC20",
            "unknown-version",
        )
    for row in system.rows if system.coverage is Coverage.LISTED else ():
        if row.caution:
            yield Finding(
                W,
                f"{system.name} is listed, and yet may fail",
                subject,
                row.caution,
                remedy="Take the unmodified route; or try one machine first",
                fact="F042",
                rule="listed-but-fails",
            )
    if system.edition and system.coverage is Coverage.LISTED:
        names = [name for row in system.rows for name in row.editions]
        if names and not any(system.edition in name for name in names):
            yield Finding(
                W,
                f"edition {system.edition} is not among the listed ones",
                subject,
                f"Listed: {', '.join(dict.fromkeys(names))}",
                fact="F042",
                rule="edition",
            )


def _spans(system: System) -> Iterator[str]:
    for row in matrix.rows().get((system.product, system.releases[0]), ()) if system.releases else ():
        first, last = (".".join(map(str, version)) for version in (row.first, row.last))
        span = (first if first == last else f"{first} to {last}") or row.release
        packs = "/".join(sorted(f"SP{pack}" if pack != "none" else "no SP" for pack in row.service_packs))
        yield f"{span} {packs}".strip()


def _end_of_life(system: System, subject: str) -> Iterator[Finding]:
    for release in system.releases:
        name = f"{system.product} {release}"
        if name in matrix.end_of_life():
            yield Finding(
                W,
                f"{name} is past its end of life, and not tested by AWS",
                subject,
                "It is still listed; nobody promises that it is converted, and it gets no updates",
                "",
                "Upgrade it first, or take the unmodified route",
                "F046" if system.windows else _END_OF_LIFE.get(system.product, "F048"),
                "end-of-life",
            )
            return


# -- Regions and kernels


def check_region(system: System, region: str, *, uefi: bool = False) -> Iterator[Finding]:
    """What the wanted Region does not take. ``uefi``: the machine boots by UEFI."""
    known = facts.load("regions")
    opt_in = region not in known["defaults"]["enabled"]
    apart = next((part["name"] for part in known["partitions"].values() if _is_in(part, region)), "")
    for row in system.rows[:1] if len(system.releases) == 1 else ():
        if region in row.regions_refused:
            yield _region_finding(f"{row.name} is not accepted in {region}", "F086" if row.uefi_only else "F079")
        elif opt_in and not apart and not row.opt_in_regions:
            yield _region_finding(f"{row.name} is not accepted in {region}, which is not enabled by default", "F076")
        elif opt_in and not apart and row.opt_in_bits and system.bits == 32 and 32 not in row.opt_in_bits:
            yield _region_finding(f"the 32-bit {row.name} is not accepted in {region}", "F089")
    if uefi and apart:
        yield Finding(
            W,
            f"UEFI boot is promised for commercial Regions, not for {apart}",
            region,
            remedy="Try with a small VM first",
            fact="F095",
        )


def _is_in(partition: dict[str, str] | str, region: str) -> bool:
    return isinstance(partition, dict) and region.startswith(partition["prefix"])


def _region_finding(what: str, fact: str) -> Finding:
    return Finding(B, what, "target", remedy="Import it in another Region and copy the AMI", fact=fact)


def kernel_listed(system: System, release: str) -> bool | None:
    """Whether ``uname -r`` of the guest is in the list for its system; None when the list names no kernels for it."""
    kernels = [kernel for row in system.rows for kernel in row.kernels]
    if not kernels:
        return None
    if any(_begins(release, start) for row in system.rows for start in row.kernels_excluded):
        return False
    return any(_begins(release, start) and mark in release for start, _, mark in (k.partition("+") for k in kernels))


def _begins(release: str, start: str) -> bool:
    rest = release.removeprefix(start)
    return not start or (release.startswith(start) and not rest[:1].isdigit())


def check_kernel(system: System, release: str, subject: str = "") -> Iterator[Finding]:
    """A kernel outside the list: the import ends with "Unsupported kernel version"."""
    if kernel_listed(system, release) is False:
        listed = dict.fromkeys(kernel.replace("+", " ").strip() for row in system.rows for kernel in row.kernels)
        yield Finding(
            B,
            f"its kernel {release} is not a listed one",
            subject or system.name,
            f"Listed are {', '.join(listed)}",
            str(facts.error(BAD_KERNEL)["message"]),
            "Install and boot the distribution's default kernel",
            "F376",
            "unsupported-kernel",
        )
