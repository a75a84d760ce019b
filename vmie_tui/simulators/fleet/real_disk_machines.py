"""The demo's machines with real disks, for visitors to filter, select and import."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from vmie_tui.simulators.fleet.estate import GIB, vm
from vmie_tui.simulators.fleet.guests import disk, index
from vmie_tui.simulators.fleet.tiny import make_zeros
from vmie_tui.simulators.spec import DiskSpec, VmSpec

_ODD = 700 * (1 << 20) + 7 * 512  # neither whole GiB nor whole MiB


def _ready() -> Iterator[VmSpec]:
    """Nothing wrong inside."""
    web, data = "Production/Web", "Production/Databases"
    yield vm("web-01", "fra-web", web, "debian12", (disk("debian12-bios", 150, "web-01"),), power="off")
    yield vm("web-02", "fra-web", web, "ubuntu2204", (disk("ubuntu2204-uefi", 160, "web-02"),), power="off")
    yield vm(
        "db-01", "fra-db", data, "debian12",
        (disk("debian12-bios", 60, "db-01"), disk("data-ext4", 120, "db-01 data")), power="off", cpus=8,
        memory_mib=32768,
    )  # fmt: skip
    yield vm("app-01", "fra-app", "Production/Apps", "rhel9", (disk("rhel9-uefi-xfs", 100, "app-01"),), cbt=True)
    yield vm(
        "win-fs01", "fra-infra", "Office/Files", "ws2019",
        (disk("ws2019-bios", 130, "win-fs01"), disk("data-ntfs", 180, "win-fs01 data")), power="off", memory_mib=16384,
    )  # fmt: skip
    yield vm("win-app01", "fra-app", "Production/Apps", "ws2022", (disk("ws2022-uefi", 120, "win-app01"),), power="off")
    yield vm("sap-router-01", "fra-app", "Production/SAP", "sles15", (disk("sles15-bios", 70, "sap-router-01"),))
    yield vm("files-01", "fra-infra", "Office/Files", "rhel8", (disk("rhel8-lvm", 90, "files-01"),), power="off")
    yield vm("bastion-03", "fra-infra", "Infrastructure", "amazon2023", (disk("amazon2023", 40, "bastion-03"),))
    yield vm(
        "spool-01", "fra-app", "Production/Apps", "rhel9",
        (disk("rhel9-uefi-xfs", 50, "spool-01"), disk("data-xfs", 200, "spool-01 data"), _empty(2 * GIB)), power="off",
        annotation="Third disk was added and never used",
    )  # fmt: skip
    yield vm(
        "scratch-01", "fra-staging", "Staging/Apps", "debian12",
        (disk("debian12-bios", 40, "scratch-01"), _empty(_ODD)), power="off",
        annotation="Second disk came from another hypervisor: its size is no whole MiB",
    )  # fmt: skip
    yield vm("tomcat-90", "fra-app", "Production/Apps/Java", "centos7", (disk("centos7-bios-xfs", 80, "tomcat-90"),))


def _empty(capacity: int) -> DiskSpec:
    return DiskSpec(capacity, partial(make_zeros, capacity=capacity))


_INSIDE = (
    # name, place, folder, guest OS, packed guest, MiB of data, power
    ("cms-01", "fra-web", "Production/Web", "debian11", "debian11-fstab-devices", 60, "off"),
    ("build-12", "lab", "Linux", "debian12", "debian12-no-fstab", 40, "off"),
    ("mirror-01", "lab", "Linux", "debian12", "debian12-bad-fstab", 40, "off"),
    ("rescue-02", "lab", "Linux", "debian12", "debian12-bad-initrd", 40, "off"),
    ("crashed-01", "lab", "Linux", "debian12", "debian12-dirty", 40, "off"),
    ("training-dualboot", "lab", "Linux", "debian12", "dual-boot", 50, "off"),
    ("web-legacy", "fra-web", "Production/Web", "centos5-32", "centos5-i386", 60, "on"),
    ("files-02", "fra-infra", "Office/Files", "rhel8", "rhel8-lvm-missing", 50, "off"),
    ("secrets-01", "fra-infra", "Production/HR", "debian12", "debian12-luks", 200, "off"),
    ("portal-uefi-01", "dub-dmz", "Production/Web", "ubuntu2204", "ubuntu2204-uefi-nofallback", 60, "off"),
    ("app-20", "fra-app", "Production/Apps", "rhel9", "rhel9-bls-stale", 50, "off"),
    ("print-01", "dub-office", "Office/Print", "ws2016", "ws2016-troubled", 80, "off"),
    ("broken-gpt-01", "lab", "Linux", "debian12", "gpt-bad-checksums", 40, "off"),
    ("wiped-01", "lab", "Linux", "debian12", "wiped", 40, "off"),
    ("lfs-01", "lab", "Linux", "other-linux", "linux-unknown", 30, "off"),
    ("arm-build-02", "lab", "ARM", "debian12", "debian12-arm64", 30, "off"),
    ("erp-old", "fra-archive", "Legacy", "ws2012", "ws2012-dynamic", 60, "off"),
    ("laptop-p2v-01", "dub-office", "Office/Desktops", "win10", "win10-bitlocker", 220, "off"),
    ("desk-4711", "dub-office", "Office/Desktops", "win10", "win10-bios", 90, "off"),
)


def _wrong_inside() -> Iterator[VmSpec]:
    """Something is wrong, or doubtful, on the disk; the guest's own description is the annotation."""
    for name, place, folder, guest_os, guest, data, power in _INSIDE:
        note = index()[guest].about
        yield vm(name, place, folder, guest_os, (disk(guest, data, name),), power=power, annotation=note)


def _running() -> Iterator[VmSpec]:
    """Those that cannot be switched off for an import, and are replicated."""
    data = "Production/Databases"
    yield vm(
        "crm-db-01", "fra-db", data, "debian12",
        (disk("debian12-bios", 70, "crm-db-01"), disk("data-ext4", 110, "crm-db-01 data")), cpus=8, memory_mib=32768,
        annotation="Runs around the clock",
    )  # fmt: skip
    yield vm("crm-app-01", "fra-app", "Production/Apps", "ubuntu2204", (disk("ubuntu2204-uefi", 80, "crm-app-01"),))
    yield vm(
        "crm-report-01", "fra-infra", "Production/Apps", "ws2022", (disk("ws2022-uefi", 90, "crm-report-01"),),
        memory_mib=16384,
    )  # fmt: skip


def heroes() -> Iterator[VmSpec]:
    """Machines with content on every disk."""
    yield from _ready()
    yield from _running()
    yield from _wrong_inside()
