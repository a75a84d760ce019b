"""vCenter: reachable and trusted, its clock, the privileges on each datacenter, and access to each ESXi host."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from vmie_tui.model import facts
from vmie_tui.model.doctor import Check, Group
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.doctor.check_context import Look, Patient
from vmie_tui.services.doctor.policies import LOOK_INSIDE, REPLICATING, vcenter_privileges
from vmie_tui.services.vsphere import privileges

SOON = timedelta(days=30)
PORT = 443  # disk data of exports comes from the hosts over HTTPS; VMware's own NFC port 902 is not used
HOSTS_AT_ONCE = 8
_MISSED = {  # what cannot be done without some of them, where the rest works
    LOOK_INSIDE: "machines that are off cannot be looked into beforehand",
    frozenset(ident for ident, _ in REPLICATING): "machines cannot be replicated and cut over",
}
REMEDY = "Ask for them: 'vmie-tui doctor --print-policy vcenter' lists what the role needs"


def _session(patient: Patient, look: Look) -> Check:
    info = patient.vsphere().info
    return look.ok(f"{info.full_name or info.version} at {info.host}, as {info.user}")


def _certificate(patient: Patient, look: Look) -> Check:
    found = privileges.certificate(patient.logged_in())
    how = "pinned" if found.pinned else "signed by a trusted authority"
    words = f"{how}, SHA-256 {found.thumbprint}"
    if found.expires is None:
        return look.ok(words)
    until = f"valid until {found.expires:%Y-%m-%d}"
    if found.expires - datetime.now(UTC) < SOON:
        return look.warning(f"{until}; {words}", "Have it renewed before jobs stop connecting")
    return look.ok(f"{until}; {words}")


def _time(patient: Patient, look: Look) -> Check:
    ahead, most = privileges.ahead_of(patient.logged_in()), int(facts.trap("T32")["skew_max_seconds"]) / 3
    words = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} vCenter"
    if abs(ahead) > most:
        return look.warning(f"this machine is {words}", "Set both clocks by NTP: times of events and logs differ")
    return look.ok("agrees with vCenter" if abs(ahead) < 2 else words)


def _privileges(patient: Patient, look: Look) -> Iterator[Check]:
    vsphere = patient.logged_in()
    wanted = dict(vcenter_privileges(patient.features))
    try:
        found = privileges.missing_privileges(vsphere, tuple(wanted))
    except ServiceError as error:
        if error.kind is not ErrorKind.PERMISSION:
            raise
        found = {}
    if not found:
        yield look.failed("the user sees no datacenter", f"Give it System.View and System.Read on one. {REMEDY}")
    for name, missing in sorted(found.items()):
        part = look.part(name, f"Privileges on {name}")
        if not missing:
            yield part.ok(f"{len(wanted)} privileges held")
            continue
        words = f"missing: {', '.join(f'{ident} ({wanted[ident]})' for ident in missing)}"
        without = [lost for idents, lost in _MISSED.items() if not idents.isdisjoint(missing)]
        if set(missing) <= frozenset().union(*_MISSED):
            yield part.warning(f"{words}; {', '.join(without)}", REMEDY)
        else:
            yield part.failed(words, REMEDY)


def _hosts(patient: Patient, look: Look) -> Iterator[Check]:
    vsphere = patient.logged_in()
    if vsphere.standalone:
        yield look.ok("this is the host itself: disks are read from the address used")
        return
    names = privileges.hosts(vsphere)
    if not names:
        yield look.skipped("the user sees no ESXi host")
        return

    def reach(name: str) -> Check:
        part = look.part(name, f"ESXi host {name}")
        try:
            privileges.dial(name, PORT, vsphere.proxy)
        except ServiceError as error:
            return part.warning(
                f"port {PORT} is not reached: {error.problem.what}",
                f"{error.problem.remedy}; the disks of machines on it are read from there",
            )
        return part.ok(f"port {PORT} answers")

    with ThreadPoolExecutor(HOSTS_AT_ONCE) as pool:
        yield from pool.map(reach, names)


LOOKS = (
    Look("vcenter.session", Group.VCENTER, "Sign-in", _session),
    Look("vcenter.certificate", Group.VCENTER, "Certificate", _certificate),
    Look("vcenter.time", Group.VCENTER, "Time", _time),
    Look("vcenter.privileges", Group.VCENTER, "Privileges", _privileges, "F411"),
    Look("vcenter.hosts", Group.VCENTER, "ESXi hosts", _hosts, "F393"),
)
