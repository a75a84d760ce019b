"""Which operating system a guest is, by the names vCenter, VMware Tools or os-release give it; is it listed?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from vmie_tui.model.machine import Machine
from vmie_tui.model.rules import matrix
from vmie_tui.model.rules.matrix import Row, Version

UNTOLD = "otherGuest"  # "Other (32-bit)", which ESXi gives a machine of which nobody said what it is


class Coverage(StrEnum):
    """What the list of supported systems says about one."""

    LISTED = "listed"
    POINT = "release listed, this point release is not"
    MAYBE = "release not known"
    NEWER = "newer than any that is listed"
    OUTSIDE = "not listed"
    UNKNOWN = "system not known"


@dataclass(frozen=True, slots=True)
class System:
    """A guest's operating system."""

    product: str
    releases: tuple[str, ...] = ()  # what it may be, one when known: ``("7",)``, ``("2012 R2",)``
    version: Version = ()  # as exact as the names are
    service_pack: str = ""
    edition: str = ""
    bits: int | None = None  # None when nothing says
    arm: bool = False
    coverage: Coverage = Coverage.UNKNOWN
    rows: tuple[Row, ...] = ()  # lines of the list

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
_IN_BRACKETS = re.compile(r"\([^()]*\)")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*(?:/\d+)*")
_PACK = re.compile(r"\bSP ?(\d+)", re.IGNORECASE)
_WINDOWS = re.compile(r"(?:server|windows),?\s+(?:version )?(\d{4}|\d+(?:\.[\dx])?|xp|vista|nt|me)\b\s*(r2\b)?", re.I)
_LATER = re.compile(r"or later", re.IGNORECASE)
_EDITIONS = ("Web", "Foundation", "Essentials", "Starter", "Storage", "IoT", "Home", "Ultimate")
_VMWARE_NUMBERS = {("Amazon Linux", "3"): "2023"}  # vCenter counts on where AWS names the year
# VirtualBox writes its own names into an OVF: Ubuntu22_LTS_64, Debian12_64, Windows2019_64.
_VIRTUALBOX = re.compile(r"(\*?[A-Za-z]+?)([0-9]{0,4})((?:_[A-Za-z]+)?)(_64|_x64|_arm64|_32|_arm32)")
_VIRTUALBOX_PRODUCTS = {
    "ubuntu": "Ubuntu", "debian": "Debian", "redhat": "Red Hat Enterprise Linux", "oracle": "Oracle Linux",
    "fedora": "Fedora", "opensuse": "openSUSE", "suse": "SUSE Linux Enterprise Server", "archlinux": "Arch Linux",
    "gentoo": "Gentoo", "freebsd": "FreeBSD", "openbsd": "OpenBSD", "netbsd": "NetBSD", "solaris": "Solaris",
    "opensolaris": "Solaris", "macos": "macOS", "windows": "Microsoft Windows", "windowsxp": "Microsoft Windows XP",
    "windowsvista": "Microsoft Windows Vista",
}  # fmt: skip
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
    """The system behind vCenter's guest id and name and the name VMware Tools report.

    A name that VirtualBox has put into an OVF is read as well.
    """
    guest_name, tools_name = _from_virtualbox(guest_name), _from_virtualbox(tools_name)
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


def _from_virtualbox(name: str) -> str:
    """``Windows2019_64`` as a display name; any other name as it is."""
    match = _VIRTUALBOX.fullmatch(name)
    product = _VIRTUALBOX_PRODUCTS.get(match[1].lower(), "") if match else ""
    if not match or not product:
        return name
    release = match[2]
    if product == "Ubuntu" and release:
        release = f"{release}.04"
    elif product == "Microsoft Windows" and release == "81":
        release = "8.1"
    elif product == "Microsoft Windows" and len(release) == 4:
        product = "Microsoft Windows Server"
    kind = "aarch64, " if "arm" in match[4] else ""
    return f"{product} {release}".rstrip() + f" ({kind}{'64' if '64' in match[4] else '32'}-bit)"


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
    release = match[1].lower()
    release = {"vista": "Vista"}.get(release, release.upper() if release.isalpha() else release)
    if release == "8.x":
        return ("8", "8.1"), ()
    return (f"{release} R2" if match[2] else release,), ()


def _bits(guest_id: str, guest_name: str, tools_name: str) -> int | None:
    told = guest_id != UNTOLD
    for name in (tools_name, guest_name if told else ""):
        if "64-bit" in name or "x86_64" in name:
            return 64
        if "32-bit" in name:
            return 32
    if not guest_id or not told:
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
        newer = all(matrix.number_of(release) > matrix.newest(product) for release in releases)
        coverage = Coverage.MAYBE if later else Coverage.NEWER if newer else Coverage.OUTSIDE
    else:
        inside = tuple(row for row in rows if row.holds(version) and (not pack or _has_pack(row, pack)))
        coverage = Coverage.LISTED if inside else Coverage.POINT
        if inside and (later or len(releases) > 1):
            coverage = Coverage.MAYBE
    return System(product, releases, version, pack, edition, bits, arm, coverage, inside or rows)


def _has_pack(row: Row, pack: str) -> bool:
    return not row.service_packs or pack in row.service_packs
