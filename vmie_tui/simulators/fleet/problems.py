"""Machines that VM import refuses or warns about: one for each kind of trouble that vCenter's configuration shows.

The annotation of each says in words what is wrong with it, as an administrator would have noted it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmie_tui.simulators.fleet.estate import GIB, PLACES, TIB, address, disks, vm
from vmie_tui.simulators.fleet.guests import disk
from vmie_tui.simulators.spec import DiskSpec, NicSpec, VmSpec

LONG_NAME = "customer-portal-reporting-and-analytics-batch-worker-emea-frankfurt-production-1"  # 80: vCenter's most

assert len(LONG_NAME) == 80


def _storage() -> Iterator[VmSpec]:
    data = "Production/Databases"
    yield vm(
        "cluster-sql-01", "fra-db", data, "ws2016",
        (*disks(100), DiskSpec(capacity=2 * TIB, backing="rdm", controller="lsi")),
        annotation="Failover cluster: quorum and data on raw device mappings",
    )  # fmt: skip
    yield vm(
        "vdi-clone-01", "dub-office", "Office/Desktops", "win10",
        (DiskSpec(capacity=80 * GIB, backing="sesparse"),),
        annotation="Linked clone: SEsparse disk",
    )  # fmt: skip
    yield vm(
        "backup-repo-01", "fra-archive", "Infrastructure/Backup", "ws2019", disks(100, *([500] * 22)),
        cpus=8, memory_mib=65536, annotation="23 disks, striped with Storage Spaces",
    )  # fmt: skip
    yield vm(
        "media-archive-01", "fra-archive", "Production/Media", "rocky9", disks(40, 10 * 1024), annotation="10 TiB disk"
    )
    yield vm("video-ingest-01", "fra-archive", "Production/Media", "ubuntu2204", disks(40, 12 * 1024), power="off")
    yield vm(
        "seismic-store-01", "fra-archive", "Production/Media", "rhel8", disks(40, 20 * 1024), power="off",
        annotation="20 TiB disk: larger than an EBS volume can be",
    )  # fmt: skip
    yield vm(
        "ora-rac-01", "fra-db", f"{data}/Oracle", "oracle7",
        (*disks(80), DiskSpec(TIB, mode="independent_persistent", sharing="sharingMultiWriter", thin=False)),
        annotation="RAC node: shared multi-writer disk",
    )  # fmt: skip
    yield vm(
        "ora-rac-02", "fra-db", f"{data}/Oracle", "oracle7",
        (*disks(80), DiskSpec(TIB, sharing="sharingMultiWriter", thin=False)),
        annotation="RAC node: shared multi-writer disk",
    )  # fmt: skip
    yield vm(
        "kiosk-01", "dub-office", "Office/Desktops", "win10",
        (DiskSpec(capacity=60 * GIB, mode="independent_nonpersistent"),),
        annotation="Non-persistent: forgets everything when switched off",
    )  # fmt: skip
    yield vm(
        "fileshare-01", "fra-db", "Office/Files", "ws2019",
        (*disks(100), DiskSpec(capacity=3 * TIB, mode="independent_persistent")),
        annotation="Data disk is independent: snapshots leave it out",
    )  # fmt: skip
    yield vm("diskless-01", "lab", "Network boot", "other-linux", (), power="off", tools="toolsNotInstalled")
    yield vm("nvme-db-01", "fra-db", data, "rhel9", tuple(replace(d, controller="nvme") for d in disks(40, 500)))
    yield vm(
        "dos-plc-01", "lab", "Legacy", "other", (DiskSpec(capacity=2 * GIB, controller="ide"),), power="off",
        tools="toolsNotInstalled", annotation="Programs the conveyor belt. Do not touch",
    )  # fmt: skip


def _security() -> Iterator[VmSpec]:
    secret = DiskSpec(capacity=120 * GIB, encrypted=True)
    yield vm(
        "hr-vault-01", "fra-infra", "Production/HR", "ws2022", (secret,), encrypted=True, vtpm=True, secure_boot=True,
        annotation="VM encryption, key provider kms-fra",
    )  # fmt: skip
    yield vm(
        "payroll-01", "fra-infra", "Production/HR", "rhel9", (*disks(60), secret), power="off",
        annotation="Second disk encrypted by storage policy",
    )  # fmt: skip
    yield vm("ws2022-secure-01", "fra-infra", "Infrastructure/Identity", "ws2022", disks(80), secure_boot=True)
    yield vm("win11-vtpm-01", "dub-office", "Office/Desktops", "win11", disks(80), vtpm=True, secure_boot=True)
    yield vm(
        "gpu-render-01", "fra-app", "Production/Media", "ubuntu2204", disks(200), passthrough=True, cpus=16,
        memory_mib=131072, annotation="vGPU by PCI passthrough",
    )  # fmt: skip


def _guests() -> Iterator[VmSpec]:
    old = "Legacy"
    yield vm("fax-01", "dub-office", f"Office/{old}", "ws2003", disks(16), tools="toolsOld", annotation="Fax gateway")
    yield vm("badge-01", "dub-office", f"Office/{old}", "rhel6-32", disks(20), annotation="Door badges; 32-bit driver")
    yield vm("arm-build-01", "lab", "ARM", "ubuntu-arm", disks(60), annotation="ESXi on ARM")
    for name, guest in (
        ("erp-2011", "rhel5"), ("erp-2013", "rhel6"), ("crm-2012", "ws2008r2"), ("scan-01", "win7"),
        ("wiki-old", "debian7"),
        ("ticket-old", "ubuntu1404"), ("proxy-old", "centos6"), ("el8-stream", "centos8"), ("sles-dms", "sles11"),
        ("oel6-batch", "oracle6"), ("fed-desk", "fedora38"),
    ):  # fmt: skip
        yield vm(name, "fra-archive", old, guest, disks(40), tools="toolsOld", annotation="Past its end of life")
    yield vm(
        "pfsense-01", "dub-dmz", "Infrastructure", "freebsd", disks(16), dhcp=False, annotation="Firewall, FreeBSD"
    )
    yield vm("sunray-01", "fra-archive", old, "solaris", disks(80), power="off")
    yield vm("appliance-x", "dub", "Vendor Appliances", "other-linux", disks(32), tools="toolsNotInstalled")
    yield vm("alma-ci-01", "fra-infra", "Infrastructure/CI", "alma9", disks(60))
    yield vm("bionic-01", "fra-app", "Production/Apps", "ubuntu1804", disks(40))


def _state() -> Iterator[VmSpec]:
    web = PLACES["fra-web"]
    yield vm(
        "patching-01", "fra-app", "Production/Apps", "rhel8", disks(80), snapshots=3, annotation="Before patch day"
    )
    yield vm(
        "veeam-stuck-01", "fra-app", "Production/Apps", "ws2019", disks(120), consolidation_needed=True, snapshots=1
    )
    yield vm("iso-mounted-01", "fra-staging", "Staging/Apps", "ubuntu2204", disks(40), cdrom_connected=True)
    yield vm(
        "router-01", "fra-web", "Production/Network", "debian12", disks(8), nics=tuple(
            NicSpec(network=net, addresses=(address(web, net),), dhcp=False)
            for net in ("fra-prod-web", "fra-prod-app", "fra-prod-db", "fra-mgmt")
        ),
    )  # fmt: skip
    yield vm("backup-net-01", "fra-db", "Production/Databases", "rhel8", disks(60, 400), nics=(
        NicSpec(network="fra-prod-db", addresses=("10.13.9.21",)),
        NicSpec(network="fra-backup", addresses=("10.17.9.21",), dhcp=False),
        NicSpec(network="VM Network", connected=False),
    ))  # fmt: skip
    yield vm("static-ip-01", "fra-app", "Production/Apps", "centos7", disks(60), dhcp=False)
    yield vm("tools-off-01", "fra-app", "Production/Apps", "rhel7", disks(60), tools="toolsNotRunning")
    yield vm("no-tools-01", "fra-app", "Vendor Appliances", "debian11", disks(20), tools="toolsNotInstalled")
    yield vm("old-tools-01", "dub", "Production/Apps", "ws2016", disks(80), tools="toolsOld", hardware="vmx-08")
    yield vm("vvol-db-01", "dub-vvol", "Production/Databases", "oracle8", disks(60, 500))
    yield vm("vsan-app-01", "fra-vsan", "Production/Apps", "sles15", (disk("sles15-bios", 60, "vsan-app-01"),))
    yield vm("paused-analysis-01", "lab", "Linux", "ubuntu2204", disks(200), power="suspended", memory_mib=262144)
    for name, connection in (
        ("lost-lun-01", "inaccessible"), ("ghost-01", "orphaned"), ("far-host-01", "disconnected"),
        ("broken-vmx-01", "invalid"),
    ):  # fmt: skip
        yield vm(name, "fra-archive", "Decommission/Unknown", "centos7", disks(40), power="off", connection=connection)


def _names() -> Iterator[VmSpec]:
    yield vm("büro-münchen-datei", "dub-office", "Office/Außenstellen", "ws2019", disks(80, 500), power="off")
    yield vm("データベース-東京", "dub", "Office/東京支社", "rhel9", disks(40, 200))
    yield vm("кадры-архив", "fra-archive", "Decommission/2024", "debian11", disks(40), power="off")
    yield vm("café ☕ wifi (guest)", "dub-office", "Office/Außenstellen", "ubuntu2404", disks(16))
    yield vm(
        "backup%2frestore test", "lab", "Linux", "debian12", disks(12), power="off", annotation="%2f is vCenter's /"
    )
    yield vm("John's VM - DO NOT DELETE!", "lab", "Linux", "ubuntu2004", disks(30), power="off")
    yield vm(LONG_NAME, "fra-app", "Production/Apps/Java", "rhel8", disks(80))


def troubled() -> Iterator[VmSpec]:
    """Every machine with a problem or an unusual configuration."""
    yield from _storage()
    yield from _security()
    yield from _guests()
    yield from _state()
    yield from _names()
