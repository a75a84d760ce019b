"""Inspects a Windows system for what VM Import checks: its registry, its free space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.guest import Presence, WindowsFacts
from vmie_tui.services.disks.guest.ntfs import Ntfs
from vmie_tui.services.disks.guest.regf import Datum, Hive, Key
from vmie_tui.services.disks.guest.tree import Tree
from vmie_tui.services.disks.guest.yal import parsing

ENOUGH = 6 << 30
_CONFIG = "/Windows/System32/config"
_CURRENT = r"Microsoft\Windows NT\CurrentVersion"
_SERVICING = r"Microsoft\Windows\CurrentVersion"
_FRAMEWORK = r"Microsoft\NET Framework Setup\NDP\v4\Full"
_MOST_INTERFACES = 32
# How hiberfil.sys begins: written, being read again, and read again. Zeros after a full shutdown.
_HIBERNATION = {b"HIBR": "hibernated", b"RSTR": "hibernated", b"WAKE": "resumed"}


def is_windows(tree: Tree) -> Presence:
    """Whether a Windows system is installed here."""
    return tree.has(f"{_CONFIG}/SYSTEM")


def inspect_windows(tree: Tree, volume: str, system: Ntfs) -> WindowsFacts:
    """Collects all facts; what cannot be read stays None and is noted in the tree."""
    facts = WindowsFacts(volume)
    hive = _open(tree, "SYSTEM")
    if hive is not None:
        facts = replace(facts, **_gather(tree, "the SYSTEM hive", hive, _system))
    hive = _open(tree, "SOFTWARE")
    if hive is not None:
        facts = replace(facts, **_gather(tree, "the SOFTWARE hive", hive, _software))
    free, at_least = system.free_until(ENOUGH)
    if free is None:
        tree.miss("free space", "the cluster bitmap could not be read")
    return replace(facts, free=free, free_at_least=at_least, hibernation=hibernation(tree))


def hibernation(tree: Tree) -> str | None:
    """What hiberfil.sys says; None when it cannot be read."""
    presence, head = tree.content("/hiberfil.sys", 0, 4, needed=False)
    if presence is Presence.UNKNOWN:
        return None
    return _HIBERNATION.get(head.upper(), "")


def _open(tree: Tree, name: str) -> Hive | None:
    path = f"{_CONFIG}/{name}"
    try:
        node = tree.find(path)
        if node is None:
            tree.miss(path, "there is no such file")
            return None
        with parsing("the hive"):
            hive = Hive(node.read)
    except ServiceError as error:
        tree.miss(path, error.problem.what)
        return None
    if hive.dirty:
        tree.miss(f"{name}.LOG1 and .LOG2", "changes of the registry wait there")
    return hive


def _gather(tree: Tree, what: str, hive: Hive, look: Any) -> dict[str, Any]:
    """The answers of each question; a question that fails leaves the others alone."""
    found = {}
    for name, question in look(hive).items():
        try:
            with parsing("the hive"):
                found[name] = question()
        except ServiceError as error:
            tree.miss(f"{name.replace('_', ' ')} in {what}", error.problem.what)
    return found


def _values(hive: Hive, path: str) -> dict[str, Datum]:
    key = hive.find(path)
    return key.values() if key is not None else {}


def _number(values: dict[str, Datum], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def _string(values: dict[str, Datum], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _system(hive: Hive) -> dict[str, Any]:
    try:
        with parsing("the hive"):
            number = _number(_values(hive, "Select"), "current") or 1
    except ServiceError:
        number = 1
    control, services = f"ControlSet{number:03d}\\Control", f"ControlSet{number:03d}\\Services"
    return {
        "rdp_denied": lambda: bool(_number(_values(hive, f"{control}\\Terminal Server"), "fdenytsconnections")),
        "hyper_v": lambda: hive.find(f"{services}\\vmms") is not None,
        "vmware_tools": lambda: hive.find(f"{services}\\VMTools") is not None,
        "paging": lambda: _paging(_values(hive, f"{control}\\Session Manager\\Memory Management")),
        "static_addresses": lambda: _static(hive.find(f"{services}\\Tcpip\\Parameters\\Interfaces")),
        "language": lambda: _string(_values(hive, f"{control}\\Nls\\Language"), "installlanguage") or None,
        "computer": lambda: _string(_values(hive, f"{control}\\ComputerName\\ComputerName"), "computername"),
        "sysprep": lambda: _number(_values(hive, "Setup\\Status\\SysprepStatus"), "generalizationstate"),
    }


def _paging(values: dict[str, Datum]) -> tuple[str, ...]:
    found = values.get("pagingfiles")
    return found if isinstance(found, tuple) else (found,) if isinstance(found, str) and found else ()


def _static(interfaces: Key | None) -> tuple[str, ...]:
    """The static addresses."""
    found: list[str] = []
    for number, key in enumerate(interfaces.subs() if interfaces is not None else ()):
        values = key.values()
        addresses = values.get("ipaddress")
        if _number(values, "enabledhcp") == 0 and isinstance(addresses, tuple):
            found += [address for address in addresses if address != "0.0.0.0"]  # noqa: S104 - an unset address
        if number >= _MOST_INTERFACES:
            break
    return tuple(found)


def _software(hive: Hive) -> dict[str, Any]:
    current: dict[str, Datum] = {}

    def value(name: str) -> str:
        if not current:
            current.update(_values(hive, _CURRENT))
        return _string(current, name)

    return {
        "product": lambda: value("productname"),
        "build": lambda: value("currentbuild") or value("currentbuildnumber"),
        "edition": lambda: value("editionid"),
        "installation": lambda: value("installationtype"),
        "pending_reboot": lambda: (
            hive.find(f"{_SERVICING}\\Component Based Servicing\\RebootPending") is not None
            or hive.find(f"{_SERVICING}\\WindowsUpdate\\Auto Update\\RebootRequired") is not None
        ),
        "auto_logon": lambda: _string(_values(hive, f"{_CURRENT}\\Winlogon"), "autoadminlogon") == "1",
        "dotnet": lambda: _number(_values(hive, _FRAMEWORK), "release"),
    }
