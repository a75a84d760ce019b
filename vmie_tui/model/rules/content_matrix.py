"""The documented matrix of Linux systems and kernels, and where a system stands in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from vmie_tui.model import facts

_NAMES = {
    "amzn": "Amazon Linux", "centos": "CentOS", "debian": "Debian", "fedora": "Fedora", "ol": "Oracle Linux",
    "rhel": "Red Hat Enterprise Linux", "rocky": "Rocky Linux", "sles": "SUSE Linux Enterprise Server",
    "sles_sap": "SUSE Linux Enterprise Server", "ubuntu": "Ubuntu",
}  # fmt: skip
_SUFFIX = re.compile(r"\((\w+)\)")
_ALSO = {"rhel-9": ("5.15.0",), "rocky-9": ("5.15.0",)}  # the guide's history says so of 9.5 (its table does not)


@dataclass(frozen=True, slots=True)
class Standing:
    """``name``: the distribution as the guide calls it, "" for one it does not list. ``listed``: is this version.

    ``deprecated``: "" or since when, in words. ``kernels``: the documented versions. ``point_releases``: those listed
    where the guide lists single ones.
    """

    name: str = ""
    listed: bool = False
    deprecated: str = ""
    kernels: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    point_releases: tuple[str, ...] = ()

    def takes(self, kernel: str) -> bool:
        """Whether a kernel (``uname -r``) is one of the documented ones."""
        if any(_begins(kernel, other) for other in self.excluded):
            return False
        return any(self._is(kernel, listed) for listed in self.kernels)

    @staticmethod
    def _is(kernel: str, listed: str) -> bool:
        if "suffix" in listed:
            return listed.split(maxsplit=1)[0] in kernel
        suffix = _SUFFIX.search(listed)
        return _begins(kernel, listed.split(" ", maxsplit=1)[0]) and (suffix is None or suffix[1] in kernel)


def _begins(kernel: str, version: str) -> bool:
    return kernel.startswith(version) and not kernel[len(version) : len(version) + 1].isdigit()


def standing(ident: str, version: str) -> Standing:
    """Where os-release's ID and VERSION_ID stand."""
    name = _NAMES.get(ident, "")
    if not name:
        return Standing()
    entries = [entry for entry in _entries() if _is_version(entry, ident, name, version)]
    if not entries:
        return Standing(name)
    kernels: list[str] = []
    for entry in entries:
        found = entry.get("kernels", [])
        kernels += found if isinstance(found, list) else [kernel for kind in found.values() for kernel in kind]
        kernels += _ALSO.get(entry["id"], ())
    points = tuple(entry["versions"] for entry in entries if "." in entry.get("versions", "") and ident == "debian")
    return Standing(
        name,
        True,
        _deprecated(entries, name, version),
        tuple(dict.fromkeys(kernels)),
        tuple(kernel for entry in entries for kernel in entry.get("kernels_excluded", ())),
        points,
    )


def _entries() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = facts.load("guests")["operating_systems"]["linux"]
    return found


def _deprecated(entries: list[dict[str, Any]], name: str, version: str) -> str:
    rules = facts.load("guests")["operating_systems"]["deprecation"]
    if any(entry.get("deprecated") for entry in entries):
        return f"since {rules['from']}"
    earlier = rules["listed_in_an_earlier_english_edition_only"]["values"]
    said = f"{name} {version}"
    if any(said == other or said.startswith(f"{other}.") for other in earlier):
        return "by an earlier edition of the guide"
    return ""


def _is_version(entry: dict[str, Any], ident: str, name: str, version: str) -> bool:
    if ident == "amzn":
        return str(entry["name"]) == f"{name} {version}"
    if entry["name"] != name:
        return False
    if name.startswith("SUSE"):
        major, _, pack = version.partition(".")
        return bool(
            entry["versions"] == major and (pack if pack not in {"", "0"} else "none") in entry["service_packs"]
        )
    first, _, last = str(entry["versions"]).partition("-")
    return _within(_numbers(version), _numbers(first), _numbers(last or first))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _within(version: tuple[int, ...], first: tuple[int, ...], last: tuple[int, ...]) -> bool:
    """Compared as far as both sides say something: 7 is within 7.0-7.9, 9.4 is a 9."""
    if not version:
        return False
    low, high = min(len(version), len(first)), min(len(version), len(last))
    return first[:low] <= version[:low] and version[:high] <= last[:high]
