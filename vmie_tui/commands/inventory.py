"""``vmie-tui inventory``, and finding machines by name for other commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from vmie_tui import passwords
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, table
from vmie_tui.commands.session import Session
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.formatting import size
from vmie_tui.model.machine import Inventory, Machine
from vmie_tui.model.plan import FileSource, VmSource
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.verdict import Look, Verdict, judge
from vmie_tui.operations.sources import Given
from vmie_tui.services.vsphere.cache import save_cached
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.settings import Profile, Settings

OFFERED = 8  # how many candidates an error names


@click.command()
@click.option("--filter", "terms", default="", metavar="TERMS", help="Words a VM must show; !word must be absent.")
@json_option
@pass_session
def inventory(session: Session, terms: str, as_json: bool) -> None:
    """List the virtual machines of the vCenter, each with a verdict on its configuration.

    No disk is read for it: a VM of which nothing is said is "not looked" until 'vmie-tui preflight' has looked.

    Example: vmie-tui inventory --filter 'web !win'
    """
    found = read(session.settings)
    machines = [machine for machine in found.machines if matches(machine, terms.split())]
    if as_json:
        out_json(
            {
                "vcenter": found.vcenter.host,
                "taken_at": found.taken_at.isoformat(),
                "machines": [
                    {**machine.to_json(), "path": machine.path, "verdict": _verdict(machine).state.value}
                    for machine in machines
                ],
            }
        )
        return
    rows = [
        (
            vm.name,
            vm.power.value,
            vm.os_name,
            str(len(vm.disks)),
            size(vm.size),
            vm.firmware.value,
            _verdict(vm).text,
            vm.path,
        )
        for vm in machines
    ]
    titles = ("NAME", "POWER", "GUEST OS", "DISKS", "SIZE", "BOOT", "VERDICT", "PATH")
    out(table(titles, rows, right=frozenset({3, 4})))
    say(f"{len(machines)} of {len(found.machines)} VMs on {found.vcenter.host}")


def _verdict(machine: Machine) -> Verdict:
    """By the configuration alone."""
    return judge(check_machine(machine), Look.NONE)


def read(settings: Settings, profile: Profile | None = None) -> Inventory:
    """Everything the profile's account may see, now; kept for the next start of the app."""
    used = profile or settings.profile()
    with open_vcenter(used) as vsphere:
        found = read_inventory(vsphere)
    assert used.vcenter is not None
    try:
        save_cached(settings.cache_dir, used.vcenter, found)
    except ServiceError as error:  # the list itself is good
        say(f"warning: {error}")
    return found


def open_vcenter(used: Profile) -> VSphere:
    """A session with the profile's vCenter, to be closed. Raises ServiceError."""
    if used.vcenter is None:
        raise ServiceError(ErrorKind.INVALID, "the profile names no vCenter", subject=used.name)
    password = passwords.password_for(used)
    if password is None:
        raise ServiceError(
            ErrorKind.LOGIN,
            "there is no password for this vCenter",
            subject=f"{used.vcenter.user}@{used.vcenter.host}",
            remedy=f"Set {passwords.PASSWORD_VARIABLE}, name a password_file, or store it in the keyring",
        )
    return connect(used.vcenter, password, read_only=used.read_only)


def matches(machine: Machine, terms: Sequence[str]) -> bool:
    """Whether a machine shows every term and none of those that start with ``!``; case does not count."""
    text = " ".join(
        (machine.path, machine.power.value, machine.os_name, machine.guest_id, machine.host, machine.moid)
    ).casefold()
    return all(
        term[1:].casefold() not in text if term.startswith("!") and len(term) > 1 else term.casefold() in text
        for term in terms
    )


def named(machines: Sequence[Machine], wanted: str) -> list[Machine]:
    """All machines of this name, path (which may begin with a slash) or id."""
    path = wanted.removeprefix("/")
    return [one for one in machines if wanted in {one.name, one.moid} or path == one.path]


def machines_of_files(settings: Settings, profile: Profile, given: Sequence[Given]) -> list[Given]:
    """The sources; what is written like a file, and is none, is a machine where vCenter has one of that name."""
    absent = [one for one in given if one.kind == FileSource.KIND and not _is_there(one.text)]
    if not absent or profile.vcenter is None:
        return list(given)
    try:
        machines = read(settings, profile).machines
    except ServiceError:
        return list(given)  # that there is no such file is what matters then
    return [replace(one, kind=VmSource.KIND) if one in absent and named(machines, one.text) else one for one in given]


def _is_there(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def find(machines: Sequence[Machine], wanted: str) -> Machine:
    """The only machine of this name, path or id. Raises ServiceError that names all of several, or near misses."""
    found = named(machines, wanted)
    if len(found) > 1:
        several = {path for path, count in Counter(machine.path for machine in found).items() if count > 1}
        shown = [f"{one.moid} ({one.path})" if one.path in several else one.path for one in found]
        raise ServiceError(
            ErrorKind.INVALID,
            f"{len(found)} virtual machines have this name",
            subject=wanted,
            remedy=f"Give the {'id' if several else 'path'} of one of them: " + ", ".join(shown),
        )
    if not found:
        near = [machine.path for machine in machines if wanted.casefold() in machine.path.casefold()][:OFFERED]
        raise ServiceError(
            ErrorKind.NOT_FOUND,
            "there is no virtual machine of this name",
            subject=wanted,
            remedy=f"Did you mean {', '.join(near)}" if near else "See 'vmie-tui inventory'",
        )
    return found[0]
