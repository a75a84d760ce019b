"""The rules on what was found in a guest: pure values in, findings out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.guest import (
    BootEntries,
    DiskFacts,
    FstabLine,
    GuestFacts,
    Kernel,
    LinuxFacts,
    NicConfig,
    NotInspected,
    Partition,
    Presence,
    Volume,
    WindowsFacts,
)
from vmie_tui.model.machine import Firmware
from vmie_tui.model.plan import Route
from vmie_tui.model.preflight import for_route
from vmie_tui.model.rules.content import check_content

YES, NO, UNKNOWN = Presence.PRESENT, Presence.MISSING, Presence.UNKNOWN
KERNEL = Kernel(
    "6.1.0-18-amd64", "/boot/vmlinuz", YES, "/boot/initrd", "gzip", YES, dict.fromkeys(("nvme", "ena"), YES)
)
LINUX = LinuxFacts(
    "disk 1 partition 1", "debian", "12", "Debian 12", YES, "12.4", "x86_64", YES, (), (KERNEL,), dhcp=YES, sshd=YES,
    sshd_enabled=YES, free=1 << 30,
)  # fmt: skip
DISK = DiskFacts(0, 1 << 30, "mbr", (Partition(1, 1 << 20, 1 << 29, "83", True),), boot_code=True, bios_boot=True)
GUEST = GuestFacts((DISK,), (Volume("disk 1 partition 1", "ext4", 1 << 29),), ("disk 1 partition 1",), LINUX)


def found(guest: GuestFacts, **options: object) -> dict[str, Finding]:
    return {each.rule: each for each in check_content(guest, **options)}  # type: ignore[arg-type]


def linux(**changes: object) -> dict[str, Finding]:
    return found(replace(GUEST, linux=replace(LINUX, **changes)))  # type: ignore[arg-type]


def windows(**changes: object) -> dict[str, Finding]:
    return found(replace(GUEST, roots=(), linux=None, windows=WindowsFacts("C", **changes)))  # type: ignore[arg-type]


def test_a_good_guest_has_no_findings() -> None:
    assert check_content(GUEST) == ()
    assert windows() == {}


@pytest.mark.parametrize(
    ("changes", "rule", "error"),
    [
        ({"release": NO}, "unknown-os", "E15"),
        ({"os_id": "almalinux"}, "unsupported-os", "E15"),
        ({"kernels": (replace(KERNEL, version="6.12.0-custom"),)}, "unsupported-kernel", "E27"),
        ({"kernels": ()}, "no-kernel", "E27"),
        ({"kernels": (replace(KERNEL, ramdisk=NO),)}, "initramfs-missing", "E24"),
        ({"kernels": (replace(KERNEL, format=""),)}, "initramfs-unreadable", "E24"),
        ({"fstab": NO}, "no-fstab", "E22"),
        ({"fstab_lines": (FstabLine(1, "x", problem="it has 1 field"),)}, "fstab-invalid", "E22"),
        ({"bls": BootEntries(("a",), "b")}, "bls-saved-entry", "E23"),
        ({"bls": BootEntries(("a",), "")}, "bls-saved-entry", "E23"),
        ({"elf": "arm64"}, "arm64", ""),
        ({"elf": "i386"}, "i386", ""),
        ({"dhcp": NO}, "no-dhcp", ""),
        ({"sshd": NO}, "no-sshd", ""),
        ({"free": 249 << 20}, "low-space", ""),
    ],
)
def test_blockers_of_linux_name_the_error_they_prevent(changes: dict[str, object], rule: str, error: str) -> None:
    finding = linux(**changes)[rule]
    assert finding.severity is Severity.BLOCKER
    assert finding.prevents == (facts.error(error)["message"] if error else "")
    assert finding.remedy
    assert finding.fact


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"point_release": "12.9"}, "point-release"),
        ({"os_version": "13", "point_release": "13.1", "kernels": None}, "newer-system"),
        ({"fstab_lines": (FstabLine(1, "", "/dev/sda1", "/", "ext4"),)}, "fstab-device-names"),
        ({"nics": (NicConfig("f", "ens192", False),)}, "predictable-nic"),
        ({"nics": (NicConfig("f", "enp0s31f6", False),)}, "predictable-nic"),
        ({"nics": (NicConfig("f", "ens192.100", False),)}, "predictable-nic"),
        ({"nics": (NicConfig("f", "enx005056000001", False),)}, "predictable-nic"),
        ({"nics": (NicConfig("f", "em1", False),)}, "predictable-nic"),
        ({"nics": (NicConfig("f", "p2p1", False),)}, "predictable-nic"),
        ({"fstab_lines": (FstabLine(1, "", "/dev/disk/by-path/pci-0-part1", "/", "ext4"),)}, "fstab-device-names"),
        ({"nics": (NicConfig("f", "eth0", True),)}, "static-ip"),
        ({"sshd_enabled": NO}, "sshd-disabled"),
        ({"kernels": (replace(KERNEL, drivers={"nvme": NO, "ena": YES}),)}, "no-drivers"),
        ({"kernels": (replace(KERNEL, modules=NO, drivers={}),)}, "no-modules"),
        ({"os_id": "centos", "os_version": "7", "kernels": None}, "end-of-life"),
    ],
)
def test_warnings_of_linux(changes: dict[str, object], rule: str) -> None:
    assert {name: each.severity for name, each in linux(**changes).items()} == {rule: Severity.WARNING}


@pytest.mark.parametrize(
    "changes",
    [
        {"fstab": UNKNOWN},
        {"release": UNKNOWN},
        {"elf": None},
        {"kernels": None},
        {"kernels": (replace(KERNEL, ramdisk=UNKNOWN, format=None),)},
        {"kernels": (replace(KERNEL, modules=UNKNOWN, drivers={"nvme": UNKNOWN}),)},
        {"bls": BootEntries(("a",), None)},
        {"bls": BootEntries(("a", "b"), "1")},
        {"bls": BootEntries(("a",), "a")},
        {"dhcp": UNKNOWN, "sshd": UNKNOWN, "sshd_enabled": UNKNOWN, "free": None},
        {"nics": tuple(NicConfig("f", name, False) for name in ("eth0", "bond0", "en*", "e*", "br0", "any", "ens*"))},
        {"fstab_lines": (FstabLine(1, "", "/dev/disk/by-id/dm-name-vg-root", "/", "ext4"),)},
        {"fstab_lines": (FstabLine(1, "", "/dev/disk/by-uuid/1", "/", "ext4"),)},
    ],
)
def test_what_is_unknown_is_no_finding(changes: dict[str, object]) -> None:
    assert linux(**changes) == {}


def test_only_some_kernels_being_foreign_is_information() -> None:
    kernels = (KERNEL, replace(KERNEL, version="6.12.1"))
    assert {name: each.severity for name, each in linux(kernels=kernels).items()} == {"further-kernels": Severity.INFO}


def test_stale_numbers_of_a_dirty_file_system_do_not_block() -> None:
    dirty = replace(GUEST, volumes=(replace(GUEST.volumes[0], dirty=True),), linux=replace(LINUX, free=1))
    assert {name: each.severity for name, each in found(dirty).items()} == {
        "journal-dirty": Severity.WARNING,
        "low-space": Severity.WARNING,
    }


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"rdp_denied": True}, "rdp-denied", Severity.BLOCKER),
        ({"hyper_v": True}, "hyper-v", Severity.BLOCKER),
        ({"pending_reboot": True}, "pending-reboot", Severity.BLOCKER),
        ({"auto_logon": True}, "auto-logon", Severity.BLOCKER),
        ({"free": (6 << 30) - 1}, "low-space", Severity.BLOCKER),
        ({"vmware_tools": True}, "vmware-tools", Severity.WARNING),
        ({"paging": ("?:\\pagefile.sys",)}, "auto-pagefile", Severity.WARNING),
        ({"static_addresses": ("10.0.0.1",)}, "static-ip", Severity.WARNING),
        ({"language": "0407"}, "language", Severity.WARNING),
        ({"product": "Windows Server 2008 Standard"}, "end-of-life", Severity.WARNING),
        ({"product": "Windows 8.1 Pro"}, "end-of-life", Severity.WARNING),
        ({"installation": "Nano Server"}, "unsupported-os", Severity.BLOCKER),
        ({"hibernation": "hibernated"}, "hibernated", Severity.WARNING),
        ({"hibernation": "resumed"}, "hibernated", Severity.WARNING),
        ({"dotnet": 378388}, "dotnet", Severity.INFO),
        ({"sysprep": 7}, "sysprep", Severity.INFO),
    ],
)
def test_windows(changes: dict[str, object], rule: str, severity: Severity) -> None:
    assert {name: each.severity for name, each in windows(**changes).items()} == {rule: severity}


def test_windows_with_enough_room_or_an_unknown_one() -> None:
    assert windows(product="Windows Server 2012 R2 Standard") == {}
    assert windows(free=6 << 30, free_at_least=True, language="0409", paging=("C:\\pagefile.sys 1 1",)) == {}


@pytest.mark.parametrize(
    ("volume", "rule"),
    [
        (Volume("v", "luks", 1), "encrypted-volume"),
        (Volume("v", "bitlocker", 1), "encrypted-volume"),
        (Volume("v", "jfs", 1), "jfs-volume"),
        (Volume("v", "mdraid", 1), "mdraid-volume"),
        (Volume("v", "refs", 1), "refs-volume"),
        (Volume("v", "btrfs", 1, subvolumes=2), "btrfs-subvolumes"),
        (Volume("vg/lv", "", 1, missing=("pv1",)), "lvm-missing-pv"),
    ],
)
def test_volumes_without_a_readable_system_do_not_mean_there_is_none(volume: Volume, rule: str) -> None:
    bare = replace(GUEST, volumes=(volume,), roots=(), linux=None)
    assert set(found(bare, must_boot=True)) == {rule}


def test_nothing_at_all() -> None:
    bare = replace(GUEST, roots=(), linux=None)
    assert set(found(bare)) == {"unknown-os"}, "it has boot code"
    data = replace(bare, disks=(replace(DISK, boot_code=False, partitions=()),))
    assert found(data)["no-system"].severity is Severity.INFO
    assert set(found(data, must_boot=True)) == {"unknown-os"}
    unread = replace(data, not_inspected=(NotInspected("the files on disk 1", "no budget"),))
    assert found(unread, must_boot=True)["not-inspected"].severity is Severity.INFO
    assert set(found(unread, must_boot=True)) == {"not-inspected"}


def test_how_it_boots() -> None:
    no_code = replace(GUEST, disks=(replace(DISK, bios_boot=False, boot_code=False),))
    assert set(found(no_code)) == {"no-boot-path"}
    assert set(found(replace(no_code, esp=True, loader=NO))) == {"no-bootx64"}
    assert set(found(replace(no_code, esp=True, loader=UNKNOWN))) == set()
    assert set(found(replace(no_code, esp=True, loader=YES))) == set()
    assert set(found(GUEST, firmware=Firmware.BIOS)) == set()
    assert set(found(replace(GUEST, loader=NO), firmware=Firmware.UEFI)) == {"no-bootx64"}


def test_debians_loader_is_made_from_grubs_where_aws_imports_an_image() -> None:
    esp = replace(GUEST, esp=True, loader=NO, grub_loader=YES)
    assert esp.linux is not None
    debian = replace(esp, linux=replace(esp.linux, os_id="debian"))
    content = check_content(debian, firmware=Firmware.UEFI)
    assert [f.rule for f in content] == ["bootx64-from-grub"] and content[0].severity is Severity.INFO
    for route, severity in {Route.INSTANCE: Severity.BLOCKER, Route.UNMODIFIED: Severity.WARNING}.items():
        (told,) = for_route(content, route)
        assert (told.rule, told.severity) == ("no-bootx64", severity)
    ubuntu = replace(esp, linux=replace(esp.linux, os_id="ubuntu"))
    assert set(found(ubuntu, firmware=Firmware.UEFI)) >= {"no-bootx64"}
    assert set(found(replace(debian, grub_loader=NO), firmware=Firmware.UEFI)) == {"no-bootx64"}


def test_tables_of_further_disks() -> None:
    further = DiskFacts(1, 1 << 30, "", problem="no signature")
    assert found(replace(GUEST, disks=(DISK, further)))["no-valid-partitions"].severity is Severity.WARNING
    assert found(replace(GUEST, disks=(DISK, replace(further, blank=True))))["blank-disk"].severity is Severity.INFO
    assert set(found(replace(GUEST, disks=(replace(DISK, backup=True),)))) == {"gpt-damaged"}
    short = replace(DISK, size=DISK.partitions[0].size)
    assert found(replace(GUEST, disks=(short,))) == {}, "a MiB is nothing"
    assert set(found(replace(GUEST, disks=(replace(short, size=short.size - 512),)))) == {"cut-short"}


def test_a_root_away_from_the_boot_code() -> None:
    other = replace(GUEST, volumes=(replace(GUEST.volumes[0], disk=1),))
    assert {name: each.severity for name, each in found(other).items()} == {"root-elsewhere": Severity.WARNING}


def test_two_systems() -> None:
    both = replace(GUEST, windows=WindowsFacts("disk 1 partition 2"))
    assert found(both)["dual-boot"].prevents == facts.error("E26")["message"]
    assert found(replace(GUEST, roots=("a", "b")))["several-roots"].prevents == facts.error("E26")["message"]


@pytest.mark.parametrize(("disk", "severity"), [(0, Severity.BLOCKER), (1, Severity.WARNING)])
def test_two_windows_systems(disk: int, severity: Severity) -> None:
    first, second = Volume("disk 1 partition 1", "ntfs", 1 << 30), Volume("another", "ntfs", 1 << 30, disk)
    guest = GuestFacts(
        (DISK,), (first, second), windows=WindowsFacts(first.name), windows_roots=(first.name, "another")
    )
    assert found(guest)["dual-boot"].severity is severity
    assert "dual-boot" not in found(replace(guest, windows_roots=(first.name,)))


@pytest.mark.parametrize(
    ("ident", "version", "kernel", "rules"),
    [
        ("amzn", "2023", "6.1.119-129.201.amzn2023.x86_64", set()),
        ("amzn", "2023", "6.12.1-1.amzn2023.x86_64", {"unsupported-kernel"}),
        ("ol", "8.9", "5.15.0-100.96.32.el8uek.x86_64", set()),
        ("ol", "8.9", "5.15.0-100.el9uek.x86_64", {"unsupported-kernel"}),
        ("rhel", "9.4", "5.14.0-427.13.1.el9_4.x86_64", set()),
        ("rhel", "9.8", "5.14.0-700.el9.x86_64", {"point-release"}),
        ("sles", "15.5", "5.14.21-150500.53-default", set()),
        ("ubuntu", "24.04", "6.8.0-31-generic", set()),
        ("ubuntu", "22.10", "5.19.0-21-generic", {"unsupported-os"}),
        ("debian", "", "6.1.0-18-amd64", set()),
        ("fedora", "", "6.2.9-300.fc38.x86_64", {"unknown-version"}),
    ],
)
def test_systems_and_kernels(ident: str, version: str, kernel: str, rules: set[str]) -> None:
    assert set(linux(os_id=ident, os_version=version, kernels=(replace(KERNEL, version=kernel),))) == rules
