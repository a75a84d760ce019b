"""Which operating system a guest is, by the names vCenter, VMware Tools or os-release give it; is it listed?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine
from vmie_tui.model.rules import matrix
from vmie_tui.model.rules.matrix import Row, Version

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
UNKNOWN_OS, BAD_KERNEL = "E15", "E27"


class Coverage(StrEnum):
    """What the list of supported systems says about one."""

    LISTED = "listed"
    POINT = "release listed, this point release is not"
    MAYBE = "release not known"
    OUTSIDE = "not listed"
    UNKNOWN = "system not known"


@dataclass(frozen=True, slots=True)
class System:
    """A guest's operating system. ``releases``: what it may be, one when known (``("7",)``, ``("2012 R2",)``).

    ``version`` is as exact as the names are; ``bits`` None when nothing says; ``rows`` are the lines of the list.
    """

    product: str
    releases: tuple[str, ...] = ()
    version: Version = ()
    service_pack: str = ""
    edition: str = ""
    bits: int | None = None
    arm: bool = False
    coverage: Coverage = Coverage.UNKNOWN
    rows: tuple[Row, ...] = ()

    @property
    def name(self) -> str:
        release = ".".join(map(str, self.version)) if self.version and len(self.releases) == 1 else ""
        if self.product == "Ubuntu" or not release:
            release = "/".join(self.releases)
        pack = f" SP{self.service_pack}" if self.service_pack else ""
        return f"{self.product} {release}{pack}".strip()

    @property
    def windows(self) -> bool:
        return self.product.startswith("Windows")


# Products by the words they are recognised by; the first that fits counts. Not all are in AWS's list.
_PRODUCTS: tuple[tuple[str, str], ...] = (
    ("Amazon Linux", r"amazon linux(?: ami)?"),
    ("CentOS", r"cent ?os"),
    ("Fedora", r"fedora(?: linux| server)?"),
    ("Oracle Linux", r"oracle (?:enterprise )?linux"),
    ("Red Hat Enterprise Linux", r"red hat enterprise linux|\brhel\b"),
    ("Rocky Linux", r"rocky(?: linux)?"),
    ("SUSE Linux Enterprise Desktop", r"suse linux enterprise desktop|\bsled\b"),
    ("SUSE Linux Enterprise Server", r"suse linux enterprise(?: server)?|\bsles\b"),
    ("openSUSE", r"open ?suse"),
    ("Ubuntu", r"ubuntu"),
    ("Debian", r"debian"),
    ("Windows Small Business Server", r"small business server"),
    ("Windows Server", r"windows(?: \w+)? server|windows\b(?=.*\bserver\b)|windows (?=2000 (?:advanced|server))"),
    ("Windows", r"windows"),
    ("AlmaLinux", r"alma ?linux"),
    ("VMware Photon OS", r"photon"),
    ("VMware ESXi", r"\besxi?\b|vmkernel"),
    ("CoreOS", r"core ?os|flatcar"),
    ("Linux Mint", r"linux mint"),
    ("Gentoo", r"gentoo"),
    ("Arch Linux", r"arch linux"),
    ("Alpine Linux", r"alpine"),
    ("Asianux", r"asianux"),
    ("Red Hat Linux", r"red hat linux"),
    ("Novell Open Enterprise Server", r"open enterprise server"),
    ("NetWare", r"netware"),
    ("FreeBSD", r"freebsd"),
    ("OpenBSD", r"openbsd"),
    ("NetBSD", r"netbsd"),
    ("Solaris", r"solaris|sunos"),
    ("macOS", r"mac ?os|darwin"),
    ("MS-DOS", r"ms-dos"),
    ("OS/2", r"os/2|ecomstation"),
    ("UnixWare", r"unixware|sco "),
)
_BY_WORDS = tuple((product, re.compile(words, re.IGNORECASE)) for product, words in _PRODUCTS)
_IN_BRACKETS = re.compile(r"\([^)]*\)")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*(?:/\d+)*")
_PACK = re.compile(r"\bSP ?(\d+)", re.IGNORECASE)
_WINDOWS = re.compile(r"(?:server|windows),?\s+(?:version )?(\d{4}|\d+(?:\.[\dx])?|xp|vista|nt|me)\b\s*(r2\b)?", re.I)
_LATER = re.compile(r"or later", re.IGNORECASE)
_EDITIONS = ("Web", "Foundation", "Essentials", "Starter", "Storage", "IoT", "Home", "Ultimate")
_VMWARE_NUMBERS = {("Amazon Linux", "3"): "2023"}  # vCenter counts on where AWS names the year
_WITHDRAWN = dict.fromkeys(("CentOS", "Debian", "Fedora"), "F047")
_OS_RELEASE = {
    "amzn": "Amazon Linux",
    "centos": "CentOS",
    "debian": "Debian",
    "fedora": "Fedora",
    "ol": "Oracle Linux",
    "rhel": "Red Hat Enterprise Linux",
    "rocky": "Rocky Linux",
    "sles": "SUSE Linux Enterprise Server",
    "sles_sap": "SUSE Linux Enterprise Server",
    "ubuntu": "Ubuntu",
}


def system_of(machine: Machine) -> System:
    """The machine's system by its names; what VMware Tools report goes before what was configured."""
    return identify(machine.guest_id, machine.guest_name, machine.tools_guest_name)


@lru_cache(maxsize=4096)
def identify(guest_id: str, guest_name: str, tools_name: str = "") -> System:
    """The system behind vCenter's guest id and name and the name VMware Tools report."""
    product, releases, version, pack, later = _parse(tools_name)
    if not product or not releases:
        other = _parse(guest_name)
        if other[0] and (not product or other[0] == product):
            product, releases, version, pack, later = other
    return _judged(
        product,
        releases,
        version,
        pack,
        later=later,
        edition=next((word for word in _EDITIONS if re.search(rf"\b{word}\b", f"{tools_name} {guest_name}")), ""),
        bits=_bits(guest_id, guest_name, tools_name),
        arm="arm" in guest_id.lower() or "aarch64" in f"{guest_name} {tools_name}".lower(),
    )


@lru_cache(maxsize=512)
def from_os_release(os_id: str, version_id: str) -> System:
    """The system whose os-release has these ``ID`` and ``VERSION_ID`` (``sles``, ``15.5`` is service pack 5)."""
    product = _OS_RELEASE.get(os_id.lower(), "")
    if not product:
        product, *_ = _parse(os_id)
        product = product or os_id
    version, pack = matrix.parse_version(version_id), ""
    if product.startswith("SUSE") and version:
        pack, version = str(version[1]) if len(version) > 1 and version[1] else "none", version[:1]
    releases = (matrix.release_of(product, version),) if version else ()
    return _judged(product, releases, version, pack, bits=64)


_Parsed = tuple[str, tuple[str, ...], Version, str, bool]


def _parse(name: str) -> _Parsed:
    """(product, releases, version, service pack, whether a later release is meant as well) of a display name."""
    for product, words in _BY_WORDS:
        match = words.search(name)
        if not match:
            continue
        if product.startswith("Windows"):
            return product, *_windows_release(name), "", bool(_LATER.search(name))
        rest = _IN_BRACKETS.sub("", name[match.end() :])
        pack, numbers = _PACK.search(rest), _NUMBERS.search(rest)
        if not numbers:
            return product, (), (), "", False
        versions = [matrix.parse_version(text) for text in numbers[0].split("/")]
        releases = [matrix.release_of(product, version) for version in versions]
        releases = [_VMWARE_NUMBERS.get((product, release), release) for release in releases]
        later = bool(_LATER.search(rest))
        exact = len(versions) == 1 and matrix.release_of(product, versions[0]) == releases[0]
        version = versions[0] if exact else ()
        return product, tuple(releases), version, pack[1] if pack else "", later
    return "", (), (), "", False


def _windows_release(name: str) -> tuple[tuple[str, ...], Version]:
    match = _WINDOWS.search(_IN_BRACKETS.sub("", name))
    if not match:
        return (), ()
    release = match[1].upper() if match[1].isalpha() else match[1].lower()
    if release == "8.x":
        return ("8", "8.1"), ()
    return (f"{release} R2" if match[2] else release,), ()


def _bits(guest_id: str, guest_name: str, tools_name: str) -> int | None:
    for name in (tools_name, guest_name):
        if "64-bit" in name or "x86_64" in name:
            return 64
        if "32-bit" in name:
            return 32
    if not guest_id:
        return None
    return 64 if "64" in guest_id else 32


def _judged(
    product: str,
    releases: tuple[str, ...],
    version: Version,
    pack: str,
    *,
    later: bool = False,
    edition: str = "",
    bits: int | None = None,
    arm: bool = False,
) -> System:
    """Look the releases up in the list."""
    rows = tuple(row for release in releases for row in matrix.rows().get((product, release), ()))
    inside = rows
    if not product:
        coverage = Coverage.UNKNOWN
    elif product not in matrix.products():
        coverage = Coverage.OUTSIDE
    elif not releases:
        coverage = Coverage.MAYBE
    elif not rows:
        coverage = Coverage.MAYBE if later else Coverage.OUTSIDE
    else:
        inside = tuple(row for row in rows if row.holds(version) and (not pack or _has_pack(row, pack)))
        coverage = Coverage.LISTED if inside else Coverage.POINT
        if inside and (later or len(releases) > 1):
            coverage = Coverage.MAYBE
    return System(product, releases, version, pack, edition, bits, arm, coverage, inside or rows)


def _has_pack(row: Row, pack: str) -> bool:
    return not row.service_packs or pack in row.service_packs


# -- findings


def check_system(system: System, subject: str = "") -> Iterator[Finding]:
    """Architecture, place in the list of systems, withdrawal."""
    subject = subject or system.name
    yield from _architecture(system, subject)
    yield from _coverage(system, subject)
    yield from _withdrawn(system, subject)


def _architecture(system: System, subject: str) -> Iterator[Finding]:
    since = facts.load("guests")["operating_systems"]["architecture"]["i386_deprecated_from"]
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
            W,
            f"32-bit systems are being withdrawn since {since}",
            subject,
            "Import may be refused, and AWS does not test it",
            "",
            "Move the application to a 64-bit system",
            "F045",
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
        )
    elif system.coverage is Coverage.UNKNOWN:
        yield Finding(
            W,
            "the guest system is not one VM import lists",
            subject or "unknown",
            "vCenter does not say what it is",
            str(facts.error(UNKNOWN_OS)["message"]),
            "Check the list of systems, or take the unmodified route",
            "IC20",
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
            )


def _spans(system: System) -> Iterator[str]:
    for row in matrix.rows().get((system.product, system.releases[0]), ()) if system.releases else ():
        first, last = (".".join(map(str, version)) for version in (row.first, row.last))
        span = (first if first == last else f"{first} to {last}") or row.release
        packs = "/".join(sorted(f"SP{pack}" if pack != "none" else "no SP" for pack in row.service_packs))
        yield f"{span} {packs}".strip()


def _withdrawn(system: System, subject: str) -> Iterator[Finding]:
    for release in system.releases:
        name = f"{system.product} {release}"
        listed = matrix.deprecated().get(name)
        if listed == "now":
            yield Finding(
                W,
                f"{name} is deprecated by VM import since {matrix.deprecated_from()}",
                subject,
                "Import may be refused, and AWS does not test it",
                "",
                "Upgrade it first, or take the unmodified route",
                "F046" if system.windows else _WITHDRAWN.get(system.product, "F048"),
            )
            return
        if listed == "earlier":
            yield Finding(
                W,
                f"{name} was on an earlier list of systems to be withdrawn",
                subject,
                "It is still accepted, and past its end of life",
                "",
                "Plan its upgrade",
                "D32",
            )
            return
        if any(row.id == "ws2008r2" for row in system.rows):
            yield Finding(
                I,
                "AWS withdraws Windows Server 2008; whether R2 is meant is not said",
                subject,
                remedy="Plan its upgrade",
                fact="F046",
            )


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
        wanted = ", ".join(dict.fromkeys(kernel.replace("+", " ") for row in system.rows for kernel in row.kernels))
        yield Finding(
            B,
            f"kernel {release} is not listed for {system.name}",
            subject or system.name,
            f"Listed: {wanted.strip()}",
            str(facts.error(BAD_KERNEL)["message"]),
            "Boot the distribution's default kernel",
            "F075",
        )
