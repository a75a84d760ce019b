"""``vmie-tui inventory``, and the reading of the inventory for other commands."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, table
from vmie_tui.commands.session import Session
from vmie_tui.model.formatting import size
from vmie_tui.model.machine import Inventory, Machine
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.verdict import Look, Verdict, judge
from vmie_tui.operations.vcenter import inventory_of
from vmie_tui.settings import Settings


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


def read(settings: Settings) -> Inventory:
    """Everything the profile's account may see, now; kept for the next start of the app."""
    return inventory_of(settings.profile(), settings, warn=lambda error: say(f"warning: {error}"))


def matches(machine: Machine, terms: Sequence[str]) -> bool:
    """Whether a machine shows every term and none of those that start with ``!``; case does not count."""
    text = " ".join(
        (machine.path, machine.power.value, machine.os_name, machine.guest_id, machine.host, machine.moid)
    ).casefold()
    return all(
        term[1:].casefold() not in text if term.startswith("!") and len(term) > 1 else term.casefold() in text
        for term in terms
    )
