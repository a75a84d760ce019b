"""Names of guests into lines of the list of systems, and what the list says of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model import facts
from vmie_tui.model.finding import Severity
from vmie_tui.model.rules import matrix
from vmie_tui.model.rules.supported_systems import check_kernel, check_region, check_system, kernel_listed
from vmie_tui.model.rules.systems import Coverage, from_os_release, identify

L, P, M, O, U = Coverage.LISTED, Coverage.POINT, Coverage.MAYBE, Coverage.OUTSIDE, Coverage.UNKNOWN  # noqa: E741
N = Coverage.NEWER


@pytest.mark.parametrize(
    ("name", "system", "coverage"),
    [
        ("Red Hat Enterprise Linux 9.4 (Plow)", "Red Hat Enterprise Linux 9.4", L),
        ("Red Hat Enterprise Linux 9.7 (Plow)", "Red Hat Enterprise Linux 9.7", L),
        ("Red Hat Enterprise Linux 9.8 (Plow)", "Red Hat Enterprise Linux 9.8", P),
        ("Red Hat Enterprise Linux 10.1 (Coughlan)", "Red Hat Enterprise Linux 10.1", L),
        ("Red Hat Enterprise Linux 10.2 (Coughlan)", "Red Hat Enterprise Linux 10.2", P),
        ("Red Hat Enterprise Linux 11.0", "Red Hat Enterprise Linux 11.0", N),
        ("Ubuntu 26.04 LTS", "Ubuntu 26.04", L),
        ("Ubuntu 26.10", "Ubuntu 26.10", N),
        ("Ubuntu 25.04", "Ubuntu 25.04", O),
        ("Fedora Linux 43", "Fedora 43", L),
        ("Fedora Linux 44", "Fedora 44", N),
        ("Microsoft Windows Server 2028", "Windows Server 2028", N),
        ("Red Hat Enterprise Linux Server release 6.10 (Santiago)", "Red Hat Enterprise Linux 6.10", L),
        ("Red Hat Enterprise Linux 4 (64-bit)", "Red Hat Enterprise Linux 4", O),
        ("Red Hat Enterprise Linux (64-bit)", "Red Hat Enterprise Linux", M),
        ("Red Hat Fedora (64-bit)", "Fedora", M),
        ("Fedora Linux 38 (Server Edition)", "Fedora 38", L),
        ("CentOS 4/5 or later (64-bit)", "CentOS 4/5", M),
        ("CentOS 4/5/6/7 (64-bit)", "CentOS 4/5/6/7", M),
        ("CentOS Linux 8 (Core)", "CentOS 8", L),
        ("CentOS Linux 8.4.2105", "CentOS 8.4.2105", P),
        ("CentOS Stream 9", "CentOS 9", L),
        ("Debian GNU/Linux 12 (bookworm)", "Debian 12", L),
        ("Debian GNU/Linux 12.4", "Debian 12.4", L),
        ("Debian GNU/Linux 12.7", "Debian 12.7", L),
        ("Debian GNU/Linux 12.9", "Debian 12.9", P),
        ("Debian GNU/Linux 13", "Debian 13", N),
        ("Debian GNU/Linux 9 (64-bit)", "Debian 9", O),
        ("Ubuntu 22.04.5 LTS", "Ubuntu 22.04", L),
        ("Ubuntu 23.10", "Ubuntu 23.10", O),
        ("Ubuntu Linux (64-bit)", "Ubuntu", M),
        ("Amazon Linux 2023.6.20250115", "Amazon Linux 2023.6.20250115", L),
        ("Amazon Linux 3 (64-bit)", "Amazon Linux 2023", L),
        ("Amazon Linux 2 (64-bit)", "Amazon Linux 2", L),
        ("Oracle Linux Server 7.9", "Oracle Linux 7.9", P),
        ("Oracle Linux 4/5 or later (64-bit)", "Oracle Linux 4/5", M),
        ("Rocky Linux 10.0", "Rocky Linux 10.0", L),
        ("SUSE Linux Enterprise Server 15 SP5", "SUSE Linux Enterprise Server 15 SP5", L),
        ("SUSE Linux Enterprise Server 15 SP7", "SUSE Linux Enterprise Server 15 SP7", P),
        ("SUSE Linux Enterprise 12 (64-bit)", "SUSE Linux Enterprise Server 12", L),
        ("SUSE Linux Enterprise Desktop 15", "SUSE Linux Enterprise Desktop 15", O),
        ("SUSE openSUSE (64-bit)", "openSUSE", O),
        ("Microsoft Windows Server 2016 or later (64-bit)", "Windows Server 2016", M),
        ("Microsoft Windows Server 2019 (64-bit)", "Windows Server 2019", L),
        ("Microsoft Windows Server 2012 R2 (64-bit)", "Windows Server 2012 R2", L),
        ("Microsoft Windows Server, version 1803", "Windows Server 1803", L),
        ("Microsoft Windows 8.1 (64-bit)", "Windows 8.1", L),
        ("Microsoft Windows 8.x (64-bit)", "Windows 8/8.1", M),
        ("Microsoft Windows 10 (64-bit)", "Windows 10", L),
        ("Microsoft Windows XP Professional (64-bit)", "Windows XP", O),
        ("Microsoft Windows Vista (64-bit)", "Windows Vista", O),
        ("Microsoft Windows 2000 Server", "Windows Server 2000", O),
        ("VMware Photon OS (64-bit)", "VMware Photon OS", O),
        ("FreeBSD 13.2-RELEASE", "FreeBSD 13.2", O),
        ("Ubuntu_64", "Ubuntu", M),
        ("Ubuntu22_LTS_64", "Ubuntu 22.04", L),
        ("Ubuntu23_64", "Ubuntu 23.04", L),
        ("Debian_64", "Debian", M),
        ("Debian12_64", "Debian 12", L),
        ("RedHat_64", "Red Hat Enterprise Linux", M),
        ("RedHat9_64", "Red Hat Enterprise Linux 9", L),
        ("Oracle8_64", "Oracle Linux 8", L),
        ("Fedora_64", "Fedora", M),
        ("OpenSUSE_Leap_64", "openSUSE", O),
        ("SUSE_LE_64", "SUSE Linux Enterprise Server", M),
        ("Windows2016_64", "Windows Server 2016", L),
        ("Windows2019_64", "Windows Server 2019", L),
        ("Windows2008_64", "Windows Server 2008", L),
        ("Windows7_64", "Windows 7", L),
        ("Windows81_64", "Windows 8.1", L),
        ("Windows11_64", "Windows 11", L),
        ("WindowsXP_64", "Windows XP", O),
        ("Linux26_64", "", U),
        ("Other_64", "", U),
        ("Other 5.x or later Linux (64-bit)", "", U),
        ("Other (64-bit)", "", U),
        ("", "", U),
    ],
)
def test_names(name: str, system: str, coverage: Coverage) -> None:
    found = identify("x64Guest", name)
    assert (found.name, found.coverage) == (system, coverage)
    assert identify("x64Guest", "", name) == found, "the name VMware Tools report is read the same way"


def test_virtualbox_tells_the_processor() -> None:
    assert [identify("", name).bits for name in ("Debian_64", "Debian_32", "Debian12_arm64")] == [64, 32, 64]
    assert identify("", "Debian12_arm64").arm


def test_vmware_tools_know_better_and_leave_gaps_to_the_configured_name() -> None:
    assert identify("centos7_64Guest", "CentOS 7 (64-bit)", "Rocky Linux 9.4").name == "Rocky Linux 9.4"
    assert identify("centos7_64Guest", "CentOS 7 (64-bit)", "CentOS Linux").name == "CentOS 7"
    assert identify("centos7_64Guest", "CentOS 7 (64-bit)", "Linux 5.14.0").name == "CentOS 7"


@pytest.mark.parametrize(
    ("guest_id", "name", "bits"),
    [
        ("rhel6Guest", "Red Hat Enterprise Linux 6 (32-bit)", 32),
        ("rhel6Guest", "Red Hat Enterprise Linux 6", 32),
        ("rhel6_64Guest", "Red Hat Enterprise Linux 6", 64),
        ("winNetStandardGuest", "Microsoft Windows Server 2003 Standard", 32),
        ("", "Debian", None),
    ],
)
def test_bits(guest_id: str, name: str, bits: int | None) -> None:
    assert identify(guest_id, name).bits == bits


@pytest.mark.parametrize(
    ("guest_id", "name", "expected"),
    [
        ("windows9Guest", "Microsoft Windows 10 (32-bit)", [(3, "IC12")]),
        ("windows7Guest", "Microsoft Windows 7 (32-bit)", [(3, "F045"), (2, "F046")]),
        ("rhel6Guest", "Red Hat Enterprise Linux 6 (32-bit)", [(3, "F074"), (2, "F048")]),
        ("armUbuntu64Guest", "Ubuntu 22.04 (64-bit ARM)", [(3, "F043")]),
        ("windows7Server64Guest", "Microsoft Windows Server 2008 R2 (64-bit)", [(2, "F046")]),
        ("winNetWebGuest", "Microsoft Windows Server 2003 Web (32-bit)", [(3, "F045"), (2, "F042"), (2, "F046")]),
        ("ubuntu64Guest", "Ubuntu Linux (64-bit)", [(2, "IC20")]),
        ("rhel9_64Guest", "Red Hat Enterprise Linux 9.8 (64-bit)", [(2, "IC20")]),
    ],
)  # fmt: skip
def test_what_is_said(guest_id: str, name: str, expected: list[tuple[int, str]]) -> None:
    assert [(int(f.severity), f.fact) for f in check_system(identify(guest_id, name))] == expected


def test_every_line_of_the_list_is_found_by_its_own_name() -> None:
    table = facts.load("guests")["operating_systems"]
    for entry in (*table["linux"], *table["windows"]):
        first = entry.get("versions", "").partition("-")[0]
        pack = next((f" SP{pack}" for pack in entry.get("service_packs", ()) if pack != "none"), "")
        found = identify("x64Guest", f"{entry['name']} {first}{pack}")
        assert found.coverage is Coverage.LISTED, entry
        assert entry["id"] in {row.id for row in found.rows}, (entry, found)


def test_every_system_past_its_end_of_life_is_a_release_of_the_list() -> None:
    known = {row.name for rows in matrix.rows().values() for row in rows}
    assert matrix.end_of_life() and matrix.end_of_life() <= known


@pytest.mark.parametrize(
    ("name", "bits", "region", "uefi", "fact"),
    [
        ("Microsoft Windows 11 (64-bit)", 64, "eu-central-2", True, "F086"),
        ("Microsoft Windows 11 (64-bit)", 64, "eu-central-1", True, ""),
        ("Microsoft Windows Server 2022 (64-bit)", 64, "cn-north-1", False, "F079"),
        ("Microsoft Windows Server 2022 (64-bit)", 64, "il-central-1", False, ""),
        ("Microsoft Windows Server 2003 (64-bit)", 64, "af-south-1", False, "F076"),
        ("Microsoft Windows Server 2003 (64-bit)", 64, "us-east-1", False, ""),
        ("Microsoft Windows 7 (32-bit)", 32, "me-south-1", False, "F089"),
        ("Microsoft Windows 7 (64-bit)", 64, "me-south-1", False, ""),
        ("Red Hat Enterprise Linux 9.4", 64, "us-gov-west-1", True, "F095"),
        ("Red Hat Enterprise Linux 9.4", 64, "us-gov-west-1", False, ""),
        ("Red Hat Enterprise Linux 9.4", 64, "ap-southeast-7", True, ""),
    ],
)
def test_regions(name: str, bits: int, region: str, uefi: bool, fact: str) -> None:
    found = list(check_region(identify(f"x{bits}Guest", name), region, uefi=uefi))
    assert [finding.fact for finding in found] == ([fact] if fact else [])


@pytest.mark.parametrize(
    ("os_id", "version", "kernel", "listed"),
    [
        ("rhel", "9.4", "5.14.0-427.13.1.el9_4.x86_64", True),
        ("rhel", "9.4", "6.1.0-1.el9.elrepo.x86_64", False),
        ("rhel", "6.0", "2.6.32-71.el6.x86_64", False),
        ("rhel", "6.9", "2.6.32-696.el6.x86_64", True),
        ("rhel", "6.9", "2.6.32-710.el6.x86_64", True),
        ("ol", "8.9", "5.15.0-101.103.2.1.el8uek.x86_64", True),
        ("ol", "8.9", "5.15.0-101.generic", False),
        ("ol", "8.9", "4.18.0-513.el8.x86_64", True),
        ("ol", "5.11", "2.6.39-400.el5uek", True),
        ("ubuntu", "22.04", "5.15.0-91-generic", True),
        ("ubuntu", "22.04", "5.150.0-1", False),
        ("amzn", "2023", "6.1.94-99.176.amzn2023.x86_64", True),
        ("amzn", "2", "4.14.355-275.amzn2.x86_64", True),
        ("sles", "15.5", "5.14.21-150500.55-default", True),
        ("sles", "15", "4.12.14-23-default", True),
        ("sles", "15.3", "5.14.21-1-default", False),
        ("almalinux", "9.4", "5.14.0-427.el9.x86_64", None),
    ],
)
def test_kernels(os_id: str, version: str, kernel: str, listed: bool | None) -> None:
    system = from_os_release(os_id, version)
    assert kernel_listed(system, kernel) is listed
    found = list(check_kernel(system, kernel))
    assert [f.severity for f in found] == ([Severity.BLOCKER] if listed is False else [])
    assert all("Unsupported kernel version" in f.prevents for f in found)


@given(st.text(max_size=40), st.text(max_size=60), st.text(max_size=60))
def test_no_name_breaks_it(guest_id: str, name: str, tools: str) -> None:
    system = identify(guest_id, name, tools)
    assert all(finding.what for finding in check_system(system))


@given(st.text(alphabet="0123456789./ SPRr2xor later", max_size=20))
def test_no_version_breaks_it(text: str) -> None:
    for product in ("Ubuntu", "Windows Server", "SUSE Linux Enterprise Server", "Amazon Linux", "CentOS"):
        system = identify("x64Guest", f"{product} {text}")
        assert all(finding.what for finding in check_system(system)), system
