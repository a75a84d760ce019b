"""Every packed guest has the findings its index expects, and no others, within the budget."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmie_tui.model.finding import Severity
from vmie_tui.model.guest import Presence
from vmie_tui.model.machine import Firmware
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.guest.inspect import GuestReport, inspect
from vmie_tui.services.disks.guest.partition_tables import read_table
from vmie_tui.services.disks.streams.ranges import MAX_BYTES, MAX_REQUESTS, Budget
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.fleet import guests

NAMES = sorted(guests.index())


def rules(report: GuestReport) -> set[str]:
    """The names of the findings that are more than information."""
    return {finding.rule for finding in report.findings if finding.severity > Severity.INFO}


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_has_the_expected_findings_and_no_others(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore(name, path)
    with open_disk(path) as disk:
        report = inspect([disk])
    assert rules(report) == set(guests.index()[name].expect)
    assert report.requests <= MAX_REQUESTS
    assert report.bytes_read <= MAX_BYTES
    for finding in report.findings:
        assert finding.rule
        assert finding.fact or finding.severity is Severity.INFO


@pytest.mark.parametrize("name", ["debian12-bios", "rhel9-uefi-xfs", "ws2022-uefi", "rhel8-lvm"])
def test_two_tebibytes_cost_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore(name, path)
    with RawFile(path) as disk:
        small = inspect([disk])
    os.truncate(path, 2 << 40)
    with RawFile(path) as disk:
        large = inspect([disk])
    assert rules(large) == rules(small)
    assert (large.requests, large.bytes_read) == (small.requests, small.bytes_read)


def test_the_firmware_decides_what_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore("debian12-bios", path)
    with RawFile(path) as disk:
        assert rules(inspect([disk], firmware=Firmware.BIOS)) == set()
        assert rules(inspect([disk], firmware=Firmware.UEFI)) == {"no-bootx64"}


def test_grubs_own_loader_is_seen_in_the_vendors_folder(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    for name, expected in {"ubuntu2204-uefi-nofallback": Presence.PRESENT, "debian12-bios": Presence.MISSING}.items():
        guests.restore(name, path)
        with RawFile(path) as disk:
            assert inspect([disk]).facts.grub_loader is expected


def test_a_machine_must_have_a_system(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore("data-ext4", path)
    with RawFile(path) as disk:
        assert rules(inspect([disk])) == set()
        assert rules(inspect([disk], must_boot=True)) == {"unknown-os"}


def test_a_small_budget_leaves_things_uninspected_and_passes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore("ws2016-troubled", path)
    full = set(guests.index()["ws2016-troubled"].expect)
    for requests in range(2, 11):
        with open_disk(path, Budget(requests=requests)) as disk:
            report = inspect([disk])
        assert report.requests <= requests
        assert rules(report) <= full
        if rules(report) != full:
            assert any(finding.rule == "not-inspected" for finding in report.findings)


def test_a_raw_image_that_was_cut_short_says_so(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore("debian12-bios", path)
    os.truncate(path, 900 << 20)
    with open_disk(path) as disk:
        assert "cut-short" in rules(inspect([disk]))


def test_a_volume_group_over_two_disks_is_read_with_both(tmp_path: Path) -> None:
    """The half that is missing is only missing while its disk is."""
    path, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    guests.restore("rhel8-lvm-missing", path)
    with RawFile(path) as disk:
        [_, group] = read_table(disk, 0, "").partitions
        second = bytearray(disk.read_at(group.offset, 1 << 20))
    second[544:576] = second[second.index(b"pv1 {") :].split(b'"')[1].replace(b"-", b"")  # the other volume's id
    other.write_bytes(bytes(second))
    os.truncate(other, 600 << 20)
    with RawFile(path) as disk, RawFile(other) as further:
        report = inspect([disk, further])
        assert rules(inspect([disk])) == {"lvm-missing-pv"}
    assert "lvm-missing-pv" not in rules(report)
    assert report.facts.linux is not None
    assert (report.facts.linux.os_id, report.facts.linux.volume) == ("rhel", "rhel/root")
