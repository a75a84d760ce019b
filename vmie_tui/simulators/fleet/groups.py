"""The bulk of the demo company: groups of similar machines, most of them without problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmie_tui.simulators.fleet.estate import disks, vm
from vmie_tui.simulators.spec import VmSpec


@dataclass(frozen=True, slots=True)
class Group:
    """``names``: a pattern for ``str.format`` with the number, from ``first`` on. ``sizes``: GiB of each disk.

    Guests, and power states (``+`` on, ``-`` off, ``z`` suspended), are dealt out in turn.
    """

    names: str
    count: int
    place: str
    folder: str
    guests: tuple[str, ...]
    sizes: tuple[float, ...]
    power: str = "+"
    first: int = 1
    cpus: int = 2
    memory_gib: int = 4
    static: bool = False

    def machines(self) -> Iterator[VmSpec]:
        states = {"+": "on", "-": "off", "z": "suspended"}
        for index in range(self.count):
            number = self.first + index
            guest = self.guests[index % len(self.guests)]
            yield vm(
                self.names.format(number),
                self.place,
                self.folder,
                guest,
                disks(*self.sizes),
                power=states[self.power[index % len(self.power)]],
                dhcp=not self.static,
                cpus=self.cpus,
                memory_mib=self.memory_gib * 1024,
                cbt=number % 4 == 0,
            )


GROUPS: tuple[Group, ...] = (
    # Frankfurt, production
    Group("web-{}", 10, "fra-web", "Production/Web", ("debian12", "ubuntu2204"), (40,), "++++-", first=11),
    Group("shop-{:02}", 6, "fra-web", "Production/Web/Shop", ("ubuntu2204",), (60, 100), cpus=4, memory_gib=8),
    Group("cdn-origin-{:02}", 3, "fra-web", "Production/Web", ("rocky9",), (40, 500), cpus=4, memory_gib=16),
    Group("lb-{:02}", 4, "fra-web", "Production/Network", ("debian11",), (8,), static=True),
    Group("varnish-{:02}", 3, "fra-web", "Production/Web", ("debian12",), (20, 80), memory_gib=32),
    Group(
        "app-{:02}", 9, "fra-app", "Production/Apps", ("rhel8", "rhel9", "rhel8"), (80,), "++++++++-", first=2, cpus=4
    ),
    Group("api-{:02}", 6, "fra-app", "Production/Apps", ("rhel9",), (60,), cpus=4, memory_gib=8),
    Group("tomcat-{:02}", 5, "fra-app", "Production/Apps/Java", ("centos7", "rhel7"), (60, 40), memory_gib=16),
    Group("sap-app-{:02}", 4, "fra-app", "Production/SAP", ("sles15",), (120, 300), cpus=16, memory_gib=128),
    Group(
        "sap-hana-{:02}", 2, "fra-db", "Production/SAP", ("sles15",), (120, 1024, 2048, 4096), cpus=48, memory_gib=1024
    ),
    Group("sap-web-disp-{:02}", 2, "fra-web", "Production/SAP", ("sles12",), (60,), memory_gib=8),
    Group("mq-{:02}", 3, "fra-app", "Production/Apps", ("rhel8",), (60, 200), cpus=4, memory_gib=16),
    Group("kafka-{:02}", 3, "fra-app", "Production/Apps", ("ubuntu2004",), (40, 1000, 1000), cpus=8, memory_gib=64),
    Group("redis-{:02}", 3, "fra-app", "Production/Apps", ("debian12",), (20,), memory_gib=64),
    Group(
        "pg-{:02}", 5, "fra-db", "Production/Databases", ("debian12", "debian11"), (40, 800, 200), cpus=8, memory_gib=64
    ),
    Group("mysql-{:02}", 3, "fra-db", "Production/Databases", ("oracle8", "rocky9"), (40, 600), cpus=8, memory_gib=64),
    Group(
        "ora-{:02}",
        3,
        "fra-db",
        "Production/Databases/Oracle",
        ("oracle7",),
        (80, 2048, 2048, 512),
        cpus=16,
        memory_gib=256,
    ),
    Group(
        "mssql-{:02}",
        4,
        "fra-db",
        "Production/Databases",
        ("ws2019", "ws2022"),
        (100, 1024, 512, 100),
        cpus=8,
        memory_gib=128,
    ),
    Group("elastic-{:02}", 5, "fra-vsan", "Production/Logging", ("ubuntu2004",), (40, 2048), cpus=8, memory_gib=64),
    # Frankfurt, infrastructure
    Group(
        "ad-dc-{:02}", 3, "fra-infra", "Infrastructure/Identity", ("ws2019", "ws2022"), (80,), memory_gib=8, static=True
    ),
    Group("dns-{:02}", 2, "fra-infra", "Infrastructure/Network", ("debian12",), (16,), static=True),
    Group("dhcp-{:02}", 2, "fra-infra", "Infrastructure/Network", ("ws2016",), (60,), static=True),
    Group("ca-{:02}", 2, "fra-infra", "Infrastructure/Identity", ("ws2016",), (80,), "-+"),
    Group("jenkins-{:02}", 2, "fra-infra", "Infrastructure/CI", ("ubuntu2204",), (60, 400), cpus=8, memory_gib=32),
    Group(
        "ci-agent-{:02}",
        8,
        "fra-infra",
        "Infrastructure/CI",
        ("ubuntu2204", "rocky9", "ws2022"),
        (120,),
        "+++z",
        cpus=8,
    ),
    Group("gitlab-{:02}", 1, "fra-infra", "Infrastructure/CI", ("ubuntu2204",), (60, 2000), cpus=8, memory_gib=64),
    Group("nexus-{:02}", 1, "fra-infra", "Infrastructure/CI", ("rocky9",), (40, 3000), cpus=4, memory_gib=16),
    Group("mon-{:02}", 3, "fra-infra", "Infrastructure/Monitoring", ("debian12",), (40, 500), cpus=4, memory_gib=16),
    Group("backup-proxy-{:02}", 3, "fra-infra", "Infrastructure/Backup", ("ws2019",), (100,), cpus=8, memory_gib=16),
    Group("bastion-{:02}", 2, "fra-infra", "Infrastructure", ("amazon2", "amazon2023"), (10,), cpus=1, memory_gib=2),
    Group("vcsa-witness-{:02}", 1, "fra-vsan", "Infrastructure/VMware", ("photon",), (12, 350), static=True),
    # Frankfurt, staging and archive
    Group("stg-web{:02}", 4, "fra-staging", "Staging/Web", ("debian12", "ubuntu2204"), (40,), "+-"),
    Group("stg-app{:02}", 5, "fra-staging", "Staging/Apps", ("rhel9", "rhel8"), (80,), "++-"),
    Group("stg-db{:02}", 3, "fra-staging", "Staging/Databases", ("debian12", "oracle8"), (40, 200), "+-"),
    Group("old-intranet-{:02}", 2, "fra-archive", "Decommission/2023", ("centos6", "ws2012"), (80,), "-"),
    Group("old-crm-{:02}", 2, "fra-archive", "Decommission/2024", ("ws2012",), (100, 300), "-"),
    Group("old-wiki-{:02}", 1, "fra-archive", "Decommission/2024", ("debian10",), (20,), "-"),
    # Dublin
    Group("dub-web-{}", 6, "dub-dmz", "Production/Web", ("ubuntu2204", "debian12"), (40,), "++++++", first=11),
    Group("dub-app-{:02}", 8, "dub", "Production/Apps", ("rhel9", "rocky9"), (80,), cpus=4, memory_gib=16),
    Group("dub-pg-{:02}", 3, "dub-vsan", "Production/Databases", ("debian12",), (40, 800), cpus=8, memory_gib=64),
    Group("dub-mssql-{:02}", 2, "dub", "Production/Databases", ("ws2022",), (100, 800, 200), cpus=8, memory_gib=64),
    Group("dub-ad-{:02}", 2, "dub", "Infrastructure", ("ws2022",), (80,), memory_gib=8, static=True),
    Group("dub-mail-{:02}", 3, "dub-dmz", "Production/Mail", ("debian11", "debian12"), (40, 500), memory_gib=16),
    Group("dub-vpn-{:02}", 2, "dub-dmz", "Infrastructure", ("ubuntu2404",), (16,), static=True),
    Group("dub-file-{:02}", 2, "dub-office", "Office/Files", ("ws2019",), (80, 4096, 6144), memory_gib=16),
    Group("dub-print-{:02}", 3, "dub-office", "Office/Print", ("ws2016", "ws2019"), (60,)),
    Group(
        "dub-rds-{:02}", 6, "dub-office", "Office/Terminal Servers", ("ws2019", "ws2022"), (120,), cpus=8, memory_gib=64
    ),
    Group(
        "dub-vdi-{:02}", 8, "dub-office", "Office/Desktops", ("win10", "win11", "win10"), (80,), "++z-", memory_gib=8
    ),
    Group("dub-dr-{:02}", 4, "dub-vvol", "Disaster Recovery", ("rhel8", "ws2019"), (80, 200), "-", cpus=4),
    # Lab
    Group("lab-k8s-{:02}", 6, "lab", "Kubernetes", ("ubuntu2404",), (60,), cpus=4, memory_gib=16),
    Group("lab-deb-{:02}", 3, "lab", "Linux", ("debian13", "debian12", "debian11"), (12,), "-+"),
    Group("lab-el-{:02}", 4, "lab", "Linux", ("rhel9", "rocky9", "alma9", "oracle8"), (20,), "+-"),
    Group("lab-win-{:02}", 5, "lab", "Windows", ("ws2025", "ws2022", "win11", "win10"), (60,), "-+z"),
    Group("packer-{:02}", 3, "lab", "Templates", ("debian12", "rocky9", "ws2022"), (20,), "-"),
)


def ordinary() -> Iterator[VmSpec]:
    """Every machine of every group."""
    for group in GROUPS:
        yield from group.machines()
