"""Joining what configuration and disks say, and images of several disks."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.guest import GuestFacts
from vmie_tui.model.machine import Disk, Machine, Power
from vmie_tui.model.plan import Route
from vmie_tui.model.preflight import Preflight, doubt_missing, join_findings
from vmie_tui.model.rules.override import blocked, impossible, not_overridden
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.services.image_sources import describe_file
from vmie_tui.services.preflight import on_route
from vmie_tui.simulators.fleet import guests

OVF = b"""<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References><File ovf:id="f1" ovf:href="a.vmdk"/>
 <File ovf:id="f2" ovf:href="b.vmdk"/></References><DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1"/>
 <Disk ovf:diskId="d2" ovf:fileRef="f2"/></DiskSection></Envelope>"""
B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741


def stream(name: str, folder: Path) -> bytes:
    guests.restore(name, folder / "disk.raw")
    out = io.BytesIO()
    with RawFile(folder / "disk.raw") as raw:
        encode(raw, out.write)
    return out.getvalue()


def test_an_ova_is_one_machine(tmp_path: Path) -> None:
    path = tmp_path / "vm.ova"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        members = (
            ("vm.ovf", OVF),
            ("a.vmdk", stream("debian12-no-fstab", tmp_path)),
            ("b.vmdk", stream("data-ext4", tmp_path)),
        )
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    result = describe_file([path]).preflight
    assert [disk.name for disk in result.disks] == ["a.vmdk", "b.vmdk"]
    assert [finding.rule for finding in result.blockers] == ["no-fstab"]
    assert result.verdict == "blocked"


def test_what_the_disks_say_stands_for_the_same_fact() -> None:
    configured = (Finding(W, "a static address", fact="F132"), Finding(W, "two NICs", fact="F011"))
    content = (Finding(B, "no fstab", fact="F371"), Finding(I, "static on the disk", fact="F132"))
    unread = Finding(I, "not inspected", "x", rule="not-inspected", fact="F011")
    joined = join_findings(configured, (*content, unread), None)
    assert [finding.what for finding in joined] == ["no fstab", "two NICs", "static on the disk"]


def test_a_missing_volume_is_doubted_while_a_disk_was_not_read() -> None:
    (found,) = doubt_missing([Finding(B, "gone", rule="lvm-missing-pv", prevents="ClientError")])
    assert (found.severity, found.prevents) == (W, "")


def test_blockers_are_firm_soft_or_overridden() -> None:
    machine = Machine("vm-1", "web", disks=(Disk(1, "d", 1),))
    soft, firm = Finding(B, "is RDM", "disk 2"), Finding(B, "no bucket", "target")
    sorted_out = blocked(machine, (soft, firm, Finding(W, "two NICs")), (soft,))
    assert (sorted_out.soft, sorted_out.firm) == ((soft,), (firm,))
    assert not_overridden((soft, firm), ("disk 2: is RDM",)) == (firm,)
    away = Machine("vm-1", "web", power=Power.SUSPENDED, disks=machine.disks)
    assert impossible(machine) is None
    assert impossible(away) is not None
    assert blocked(away, (soft,), (soft,)).soft == ()


@pytest.mark.parametrize(
    ("route", "content", "refused"),
    [
        (Route.IMAGE, [(B, "ClientError")], ""),
        (Route.IMAGE_DIRECT, [(B, "ClientError")], ""),
        (Route.UNMODIFIED, [(W, "")], ""),
        (Route.SNAPSHOT, [], ""),
        (Route.INSTANCE, [(B, "ClientError")], "F025"),
    ],
)
def test_a_look_at_a_machine_is_judged_for_another_route(
    route: Route, content: list[tuple[Severity, str]], refused: str
) -> None:
    disks = (Disk(1, "a", 1 << 30), Disk(2, "b", 1 << 30))
    machine = Machine("vm-1", "web", guest_id="debian12_64Guest", guest_name="Debian 12", disks=disks)
    bad = Finding(B, "/etc/fstab is missing", fact="F371", prevents="ClientError")
    seen = Preflight("web", (bad,), machine=machine, guest=GuestFacts(), changes=("drivers",), content=(bad,))
    found = on_route(seen, route)
    assert [(f.severity, f.prevents) for f in found.findings if f.fact == "F371"] == content
    assert [f.fact for f in found.blockers if f.fact != "F371"] == ([refused] if refused else [])
    assert bool(found.changes) is (route in {Route.IMAGE, Route.IMAGE_DIRECT})
