"""The demo company's machines, each judged by name; and all of a large one in no time."""

from __future__ import annotations

import gc
import time

import pytest

from tests.kits.fleet_machines import company_machines, machines
from vmie_tui.model.finding import Finding, Severity, worst
from vmie_tui.model.machine import Power
from vmie_tui.model.rules.machine import MOVING, check_machine
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.fleet.groups import ordinary
from vmie_tui.simulators.fleet.problems import troubled
from vmie_tui.simulators.fleet.real_disk_machines import _ready

B, W, I = "blocker", "warning", "info"  # noqa: E741

# Name -> (severity, words of what is said), worst first; only what an administrator must do something about.
EXPECTED: dict[str, tuple[tuple[str, str], ...]] = {
    "cluster-sql-01": ((B, "raw device mapping"),),
    "vdi-clone-01": ((B, "SEsparse"),),
    "backup-repo-01": ((B, "23 disks, VM import takes 21"),),
    "media-archive-01": ((B, "10 TiB; ImportImage takes less than 8 TiB"),),
    "video-ingest-01": ((B, "12 TiB; ImportImage"),),
    "seismic-store-01": ((B, "20 TiB; ImportImage takes less than 8 TiB"),),
    "ora-rac-01": ((B, "independent"), (W, "shared with other")),
    "ora-rac-02": ((W, "shared with other"),),
    "kiosk-01": ((B, "independent"),),
    "fileshare-01": ((B, "independent"),),
    "diskless-01": ((B, "no disk"), (W, "not one VM import lists")),
    "nvme-db-01": (),
    "dos-plc-01": ((W, "not one VM import lists"),),
    "hr-vault-01": ((B, "encrypted by vSphere"), (B, "the VM is encrypted"), (W, "virtual TPM"), (W, "secure boot")),
    "payroll-01": ((B, "encrypted by vSphere"),),
    "ws2022-secure-01": ((W, "secure boot"),),
    "win11-vtpm-01": ((W, "virtual TPM"), (W, "secure boot")),
    "gpu-render-01": ((W, "passed through"),),
    "fax-01": ((B, "32-bit systems are not supported"), (W, "Windows Server 2003 is past its end of life")),
    "badge-01": ((B, "32-bit Linux"), (W, "Red Hat Enterprise Linux 6 is past its end of life")),
    "arm-build-01": ((B, "ARM64"),),
    "erp-2011": ((W, "Red Hat Enterprise Linux 5 is past its end of life"),),
    "erp-2013": ((W, "Red Hat Enterprise Linux 6 is past its end of life"),),
    "crm-2012": ((W, "Windows Server 2008 R2 is past its end of life"),),
    "scan-01": ((W, "Windows 7 is past its end of life"),),
    "wiki-old": ((W, "Debian 7 is past its end of life"),),
    "ticket-old": ((W, "Ubuntu 14.04 is past its end of life"),),
    "proxy-old": ((W, "CentOS 6 is past its end of life"),),
    "el8-stream": ((W, "CentOS 8 is past its end of life"),),
    "sles-dms": ((W, "SUSE Linux Enterprise Server 11 is past its end of life"),),
    "oel6-batch": ((W, "Oracle Linux 6 is past its end of life"),),
    "fed-desk": ((W, "Fedora 38 is past its end of life"),),
    "pfsense-01": ((B, "FreeBSD 13.2 is not in the list"), (W, "set by hand")),
    "sunray-01": ((B, "Solaris 11.4 is not in the list"),),
    "appliance-x": ((W, "not one VM import lists"),),
    "alma-ci-01": ((B, "AlmaLinux 9.4 is not in the list"),),
    "bionic-01": (),
    "patching-01": ((W, "3 snapshot"),),
    "veeam-stuck-01": ((W, "consolidation"), (W, "1 snapshot")),
    "iso-mounted-01": ((W, "CD-ROM"),),
    "router-01": ((W, "4 network interfaces"), (W, "set by hand")),
    "backup-net-01": ((W, "3 network interfaces"), (W, "set by hand")),
    "static-ip-01": ((W, "CentOS 7 is past its end of life"), (W, "set by hand")),
    "tools-off-01": (),
    "no-tools-01": (),
    "old-tools-01": (),
    "vvol-db-01": (),
    "vsan-app-01": (),
    "paused-analysis-01": ((B, "suspended"),),
    "lost-lun-01": ((B, "inaccessible"), (W, "CentOS 7")),
    "ghost-01": ((B, "orphaned"), (W, "CentOS 7")),
    "far-host-01": ((B, "disconnected"), (W, "CentOS 7")),
    "broken-vmx-01": ((B, "invalid"), (W, "CentOS 7")),
}
# Ordinary machines of the demo whose system AWS does not list, although nothing is wrong with them.
UNLISTED = {"lab-el-03": "AlmaLinux", "vcsa-witness-01": "Photon"}


def loud(name: str) -> list[Finding]:
    return [finding for finding in check_machine(company_machines()[name]) if finding.severity is not Severity.INFO]


@pytest.mark.parametrize("spec", list(troubled()), ids=lambda spec: spec.name)
def test_a_machine_with_trouble_is_told_all_of_it_and_no_more(spec: object) -> None:
    name = spec.name  # type: ignore[attr-defined]
    found = loud(name)
    expected = EXPECTED.get(name, ())  # those with odd names only have nothing wrong
    assert [f.severity.name.lower() for f in found] == [severity for severity, _ in expected], found
    for finding, (_, words) in zip(found, expected, strict=True):
        assert words in finding.what


def test_every_expectation_is_of_a_machine_there_is() -> None:
    assert set(EXPECTED) <= {spec.name for spec in troubled()}


def test_good_machines_have_no_blockers() -> None:
    blocked = {}
    for spec in (*_ready(), *ordinary()):
        machine = company_machines()[spec.name]
        if machine.power is Power.SUSPENDED:
            continue
        if worst(found := check_machine(machine)) is Severity.BLOCKER:
            blocked[spec.name] = found[0].what
    assert set(blocked) == set(UNLISTED)
    assert all(words in blocked[name] for name, words in UNLISTED.items())


def test_stores_that_allow_no_replication_are_a_remark() -> None:
    for name, words in {"vvol-db-01": "vVol", "vsan-app-01": "vSAN"}.items():
        (remark,) = [f for f in check_machine(company_machines()[name]) if words in f.what]
        assert remark.severity is Severity.INFO and remark.fact == "F424"
        report = check_machine(company_machines()[name], notes=True)
        assert not set(MOVING) & set(report), "nothing runs there again"


def test_a_report_also_tells_what_is_no_trouble() -> None:
    machine = company_machines()["tools-off-01"]
    plain, full = check_machine(machine), check_machine(machine, notes=True)
    extra = [finding for finding in full if finding not in plain]
    assert all(finding.severity is Severity.INFO for finding in extra)
    assert [finding.fact for finding in MOVING] == ["F422", "F423"], "moved between runs only, never across vCenters"
    assert [finding.what for finding in extra] == [
        "it boots by BIOS",
        "changed blocks are not tracked",
        *(finding.what for finding in MOVING),
        "VMware Tools: toolsNotRunning",
    ]


def test_findings_are_sorted_and_say_what_to_do() -> None:
    for machine in company_machines().values():
        found = check_machine(machine)
        assert [f.severity for f in found] == sorted((f.severity for f in found), reverse=True)
        for finding in found:
            assert finding.what and (finding.severity is not Severity.BLOCKER or finding.remedy), finding


def test_twenty_thousand_machines_cost_little() -> None:
    """The bound is ten times what it takes: it catches a lost cache, not a busy machine."""
    many = machines(company(scale=20_000))
    gc.disable()
    try:
        start = time.process_time()
        count = sum(len(check_machine(machine)) for machine in many)
        spent = time.process_time() - start
    finally:
        gc.enable()
    assert count > 20_000 and spent < 3
