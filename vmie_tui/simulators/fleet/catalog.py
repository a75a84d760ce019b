"""Guest operating systems as VMware names them: guest id, full name, and what VMware Tools reports with the version."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuestOs:
    """``tools_name`` is empty where VMware Tools would not know or is never installed."""

    guest_id: str
    name: str
    tools_name: str = ""
    firmware: str = "bios"

    @property
    def windows(self) -> bool:
        return self.guest_id.startswith("win")


def _windows(guest_id: str, version: str, firmware: str = "bios") -> GuestOs:
    name = f"Microsoft Windows {version} (64-bit)"
    return GuestOs(guest_id, name, name, firmware)


_RHEL = "Red Hat Enterprise Linux"
_SLES = "SUSE Linux Enterprise"

OS: dict[str, GuestOs] = {
    "debian13": GuestOs(
        "debian13_64Guest", "Debian GNU/Linux 13 (64-bit)", "Debian GNU/Linux 13 (trixie)", firmware="efi"
    ),
    "debian12": GuestOs("debian12_64Guest", "Debian GNU/Linux 12 (64-bit)", "Debian GNU/Linux 12 (bookworm)"),
    "debian11": GuestOs("debian11_64Guest", "Debian GNU/Linux 11 (64-bit)", "Debian GNU/Linux 11 (bullseye)"),
    "debian10": GuestOs("debian10_64Guest", "Debian GNU/Linux 10 (64-bit)", "Debian GNU/Linux 10 (buster)"),
    "debian7": GuestOs("debian7_64Guest", "Debian GNU/Linux 7 (64-bit)", "Debian GNU/Linux 7 (wheezy)"),
    "ubuntu2404": GuestOs("ubuntu64Guest", "Ubuntu Linux (64-bit)", "Ubuntu 24.04.1 LTS", firmware="efi"),
    "ubuntu2204": GuestOs("ubuntu64Guest", "Ubuntu Linux (64-bit)", "Ubuntu 22.04.5 LTS", firmware="efi"),
    "ubuntu2004": GuestOs("ubuntu64Guest", "Ubuntu Linux (64-bit)", "Ubuntu 20.04.6 LTS"),
    "ubuntu1804": GuestOs("ubuntu64Guest", "Ubuntu Linux (64-bit)", "Ubuntu 18.04.6 LTS"),
    "ubuntu1404": GuestOs("ubuntu64Guest", "Ubuntu Linux (64-bit)", "Ubuntu 14.04.6 LTS"),
    "ubuntu-arm": GuestOs("armUbuntu64Guest", "Ubuntu Linux (64-bit ARM)", "Ubuntu 22.04.5 LTS", firmware="efi"),
    "rhel9": GuestOs("rhel9_64Guest", f"{_RHEL} 9 (64-bit)", f"{_RHEL} 9.4 (Plow)", firmware="efi"),
    "rhel8": GuestOs("rhel8_64Guest", f"{_RHEL} 8 (64-bit)", f"{_RHEL} 8.9 (Ootpa)"),
    "rhel7": GuestOs("rhel7_64Guest", f"{_RHEL} 7 (64-bit)", f"{_RHEL} Server 7.9 (Maipo)"),
    "rhel6": GuestOs("rhel6_64Guest", f"{_RHEL} 6 (64-bit)", f"{_RHEL} Server release 6.10 (Santiago)"),
    "rhel5": GuestOs("rhel5_64Guest", f"{_RHEL} 5 (64-bit)", f"{_RHEL} Server release 5.11 (Tikanga)"),
    "rhel6-32": GuestOs("rhel6Guest", f"{_RHEL} 6 (32-bit)", f"{_RHEL} Server release 6.9 (Santiago)"),
    "rocky9": GuestOs("rockylinux_64Guest", "Rocky Linux (64-bit)", "Rocky Linux 9.4 (Blue Onyx)", firmware="efi"),
    "alma9": GuestOs("almalinux_64Guest", "AlmaLinux (64-bit)", "AlmaLinux 9.4 (Seafoam Ocelot)", firmware="efi"),
    "oracle8": GuestOs("oracleLinux8_64Guest", "Oracle Linux 8 (64-bit)", "Oracle Linux Server 8.9"),
    "oracle7": GuestOs("oracleLinux7_64Guest", "Oracle Linux 7 (64-bit)", "Oracle Linux Server 7.6"),
    "oracle6": GuestOs("oracleLinux6_64Guest", "Oracle Linux 6 (64-bit)", "Oracle Linux Server release 6.10"),
    "centos8": GuestOs("centos8_64Guest", "CentOS 8 (64-bit)", "CentOS Linux 8 (Core)"),
    "centos7": GuestOs("centos7_64Guest", "CentOS 7 (64-bit)", "CentOS Linux 7 (Core)"),
    "centos6": GuestOs("centos6_64Guest", "CentOS 6 (64-bit)", "CentOS release 6.8 (Final)"),
    "centos5-32": GuestOs("centosGuest", "CentOS 4/5 (32-bit)", "CentOS release 5.11 (Final)"),
    "sles15": GuestOs("sles15_64Guest", f"{_SLES} 15 (64-bit)", f"{_SLES} Server 15 SP5"),
    "sles12": GuestOs("sles12_64Guest", f"{_SLES} 12 (64-bit)", f"{_SLES} Server 12 SP5"),
    "sles11": GuestOs("sles11_64Guest", f"{_SLES} 11 (64-bit)", f"{_SLES} Server 11 (x86_64)"),
    "amazon2023": GuestOs(
        "amazonlinux3_64Guest", "Amazon Linux 3 (64-bit)", "Amazon Linux 2023.6.20250115", firmware="efi"
    ),
    "amazon2": GuestOs("amazonlinux2_64Guest", "Amazon Linux 2 (64-bit)", "Amazon Linux 2"),
    "fedora38": GuestOs("fedora64Guest", "Red Hat Fedora (64-bit)", "Fedora Linux 38 (Server Edition)", firmware="efi"),
    "photon": GuestOs("vmwarePhoton64Guest", "VMware Photon OS (64-bit)", "VMware Photon OS/Linux"),
    "other-linux": GuestOs("other5xLinux64Guest", "Other 5.x or later Linux (64-bit)"),
    "freebsd": GuestOs("freebsd13_64Guest", "FreeBSD 13 (64-bit)", "FreeBSD 13.2-RELEASE"),
    "solaris": GuestOs("solaris11_64Guest", "Oracle Solaris 11 (64-bit)", "Oracle Solaris 11.4"),
    "other": GuestOs("otherGuest64", "Other (64-bit)"),
    "ws2025": _windows("windows2022srvNext_64Guest", "Server 2025", firmware="efi"),
    "ws2022": _windows("windows2019srvNext_64Guest", "Server 2022", firmware="efi"),
    "ws2019": _windows("windows2019srv_64Guest", "Server 2019"),
    "ws2016": _windows("windows9Server64Guest", "Server 2016"),
    "ws2012": _windows("windows8Server64Guest", "Server 2012"),
    "ws2008r2": _windows("windows7Server64Guest", "Server 2008 R2"),
    "ws2003": GuestOs(
        "winNetStandardGuest",
        "Microsoft Windows Server 2003 Standard (32-bit)",
        "Microsoft Windows Server 2003 Standard (32-bit)",
    ),
    "win11": _windows("windows11_64Guest", "11", firmware="efi"),
    "win10": _windows("windows9_64Guest", "10"),
    "win7": _windows("windows7_64Guest", "7"),
}
