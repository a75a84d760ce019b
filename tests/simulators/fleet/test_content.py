"""Every machine of the demo by its disks: it is what its configuration says, and AWS says what its verdict names."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.kits.fleet_machines import company_machines
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.guest import GuestFacts, Presence
from vmie_tui.model.machine import Machine, OsFamily
from vmie_tui.model.preflight import guest_names, join_findings
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.systems import identify, system_of
from vmie_tui.services.disks.guest.inspect import inspect
from vmie_tui.services.disks.guest.partition_tables import read_table
from vmie_tui.services.disks.streams.ranges import Slice
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.aws import guest_check, os_guess
from vmie_tui.simulators.aws.console import boot
from vmie_tui.simulators.fleet import guests
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.fleet.content import LARGEST
from vmie_tui.simulators.fleet.own_disk import Identity
from vmie_tui.simulators.spec import DiskSpec, VmSpec

GIB = 1 << 30
# What stops each machine whose disks stop it: the rule of the worst finding. All others are taken.
REFUSED = {
    "build-12": "no-fstab",
    "mirror-01": "fstab-invalid",
    "rescue-02": "initramfs-unreadable",
    "training-dualboot": "several-roots",
    "web-legacy": "i386",
    "files-02": "lvm-missing-pv",
    "secrets-01": "encrypted-volume",
    "portal-uefi-01": "no-bootx64",
    "app-20": "bls-saved-entry",
    "print-01": "rdp-denied",
    "broken-gpt-01": "no-valid-partitions",
    "wiped-01": "no-valid-partitions",
    "lfs-01": "unknown-os",
    "arm-build-01": "arm64",
    "arm-build-02": "arm64",
    "erp-old": "dynamic-disk",
    "laptop-p2v-01": "encrypted-volume",
    "badge-01": "i386",
    "appliance-x": "unsupported-os",
    "alma-ci-01": "unsupported-os",
    "lab-el-03": "unsupported-os",
    "vcsa-witness-01": "unsupported-os",
    "pfsense-01": "unknown-os",
    "sunray-01": "unknown-os",
    "dos-plc-01": "unknown-os",
}
NO_DISK = {"diskless-01"}


def write(spec: DiskSpec, path: Path) -> None:
    """The disk without its deleted files, which no look reads."""
    make = spec.make
    assert isinstance(make, partial)
    if "data" in make.keywords:
        make = partial(make.func, *make.args, **{**make.keywords, "data": 0})
    make(path)
    os.truncate(path, min(spec.capacity, LARGEST))


def blockers(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.BLOCKER]


def faults(spec: VmSpec, machine: Machine, folder: Path) -> Iterator[str]:
    """What of a machine is not as its configuration, or its place in the table above, has it."""
    disks = [(folder / str(number), min(disk.capacity, LARGEST)) for number, disk in enumerate(spec.disks)]
    for disk, (path, _) in zip(spec.disks, disks, strict=True):
        write(disk, path)
    with ExitStack() as held:
        readers = [Slice(held.enter_context(RawFile(path)), 0, size) for path, size in disks]
        report = inspect(readers, firmware=machine.firmware, must_boot=True)
        mode, why = guest_check.boot_mode(disks), guest_check.refusal(disks)
        start = boot(readers, mode=mode, instance_type="t3.small", host="x", converted=True)
    content = blockers(report.findings)
    named = {finding.prevents for finding in join_findings(check_machine(machine), report.findings, report.facts)} - {
        ""
    }
    wanted = REFUSED.get(spec.name, "")
    if [finding.rule for finding in content[:1]] != ([wanted] if wanted else []):
        yield f"its disks give {[finding.rule for finding in content]}, not {wanted!r}"
    if bool(why) is not any(finding.prevents for finding in content):
        yield f"AWS says {why!r}"
    if why and why not in named:
        yield f"AWS says {why!r}, which no finding names"
    if not wanted:
        guess = os_guess.guess([path for path, _ in disks])
        if (guess == "Windows") is not (machine.os_family is not OsFamily.LINUX):
            yield f"AWS takes it for {guess!r}"
        if (mode == "uefi") is not (spec.firmware == "efi") and not any(d.bios_boot for d in report.facts.disks):
            yield f"AWS would boot it by {mode}"
        if not start.healthy:
            yield f"it does not start: {start.lines[-3:]}"
        yield from differences(spec, machine, report.facts)


def differences(spec: VmSpec, machine: Machine, facts: GuestFacts) -> Iterator[str]:
    """Where a good guest is another than vCenter says."""
    seen, told = identify(*guest_names(facts)), system_of(machine)
    if (seen.product, seen.releases[:1]) != (told.product, told.releases[:1]):
        yield f"it is {seen.name}, not {told.name}"
    made = spec.disks[0].make
    own = isinstance(made, partial) and str(made.keywords["name"]).startswith(guests.BASE)
    if own and facts.linux is not None:
        by_hand = any(nic.static for nic in facts.linux.nics)
        if by_hand is not (spec.nics[0].dhcp is False):
            yield f"its address is {'' if by_hand else 'not '}set by hand"
        if facts.linux.vmware_tools is not (
            Presence.MISSING if spec.tools == "toolsNotInstalled" else Presence.PRESENT
        ):
            yield f"VMware Tools are {facts.linux.vmware_tools} on its disk"
    if own and facts.windows is not None:
        if bool(facts.windows.static_addresses) is not (spec.nics[0].dhcp is False):
            yield f"its addresses are {facts.windows.static_addresses}"
        if facts.windows.computer != made_name(made):
            yield f"it calls itself {facts.windows.computer}"


def made_name(make: object) -> str:
    assert isinstance(make, partial)
    return str(make.keywords["identity"].hostname).upper()[:15].rstrip("-")


def test_every_machine_is_what_it_says_and_fails_for_the_reason_that_is_named(tmp_path: Path) -> None:
    wrong, kept = {}, company_machines()
    for spec in company().machines:
        if not spec.disks:
            assert spec.name in NO_DISK
            continue
        assert all(disk.make is not None for disk in spec.disks), spec.name
        found = list(faults(spec, kept[spec.name], tmp_path))
        if found:
            wrong[spec.name] = found
    assert wrong == {}
    assert set(REFUSED) <= set(kept)


ALIKE = ("kafka-01", "kafka-02", "mssql-01", "mssql-02", "dub-vpn-01", "dub-vpn-02")


def test_no_two_disks_are_the_same(tmp_path: Path) -> None:
    """Each has identifiers of its own in its table; the second copy of a GPT lies at the end of the disk."""
    specs = {spec.name: spec for spec in company().machines}
    heads = []
    for disk in [disk for name in ALIKE for disk in specs[name].disks]:
        path = tmp_path / "disk"
        write(disk, path)
        with path.open("rb") as file:
            heads.append(file.read(34 * 512))
            last = disk.capacity // 512 - 1
            file.seek(last * 512)
            assert (file.read(8) == b"EFI PART") is (heads[-1][512:520] == b"EFI PART")
        if heads[-1][512:520] == b"EFI PART":
            assert struct.unpack_from("<Q", heads[-1], 512 + 32) == (last,)
        with RawFile(path) as raw:
            assert not read_table(raw, 0, "").problem
    assert len(set(heads)) == len(heads) == 16


def test_a_data_disk_has_a_file_system_of_its_own(tmp_path: Path) -> None:
    """Two of them in one machine would else have the same UUID, and the superblock's copies are renamed as well."""
    checker = shutil.which("e2fsck", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    idents = set()
    for number in range(2):
        path, part = tmp_path / "disk", tmp_path / "part"
        guests.make(path, "base-data-ext4", 0, f"seed {number}", capacity=3 * GIB)
        with RawFile(path) as raw:
            report = inspect([raw])
            (found,) = read_table(raw, 0, "").partitions
            with part.open("wb") as file:
                file.truncate(found.size)
                for at in range(0, found.size, 1 << 20):
                    if any(chunk := raw.read_at(found.offset + at, 1 << 20)):
                        file.seek(at)
                        file.write(chunk)
        idents |= {volume.uuid for volume in report.facts.volumes}
        if checker:
            done = subprocess.run([checker, "-f", "-n", str(part)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
    assert len(idents) == 2


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs"):
        guests.make(tmp_path / "disk", "base-debian12", 0, "seed", capacity=GIB)
    with pytest.raises(ValueError, match="do not fit the slot hostname"):
        guests.make(tmp_path / "disk", "base-debian12", 0, "seed", capacity=4 * GIB, identity=Identity("x" * 200))
