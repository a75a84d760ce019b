"""Trees of files that look like installed Windows systems, with registry hives that can be read."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from guestlib.filesystems import Dir, Tree
from guestlib.hive import hive
from guestlib.slots import ADDRESS

# The first bytes of Windows' boot code, and its messages at their place.
WINDOWS_MBR = (
    bytes.fromhex("33c08ed0bc007c8ec08ed8be007cbf0006b90002fcf3a450681c06cbfbb90400")
    + bytes(0x143)
    + b"Invalid partition table\0Error loading operating system\0Missing operating system\0"
).ljust(440, b"\0")


_BOOT_INI = (
    "[boot loader]\r\ntimeout=30\r\ndefault=multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS\r\n[operating systems]\r\n"
    'multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS="Windows Server 2003, Standard" /fastdetect\r\n'
)


@dataclass(frozen=True, slots=True)
class Windows:
    """One Windows system; the flags are what an import stumbles over."""

    product: str
    build: str
    edition: str
    computer: str
    client: bool = False
    rdp: bool = True
    pending_reboot: bool = False
    auto_logon: bool = False
    static_ip: bool = False
    auto_pagefile: bool = False
    hyper_v: bool = False
    language: str = "0409"
    efi: bool = False
    version: str = "6.3"  # CurrentVersion; from Windows 10 on it stayed at 6.3
    bits: int = 64
    address_slot: bool = False  # room for an address set by hand


def pe(kind: int = 0x8664) -> bytes:
    """A PE header for 64-bit x86."""
    image = bytearray(1024)
    image[:2] = b"MZ"
    struct.pack_into("<I", image, 0x3C, 0x80)
    image[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<H", image, 0x84, kind)
    return bytes(image)


def _software(system: Windows) -> dict[str, Any]:
    servicing: dict[str, Any] = {"@LastScavengeCookie": 3}
    update: dict[str, Any] = {"@AUOptions": 3}
    if system.pending_reboot:
        servicing["RebootPending"] = {}
        update["RebootRequired"] = {}
    winlogon = {"@AutoAdminLogon": "1" if system.auto_logon else "0", "@DefaultUserName": "Administrator"}
    current = {
        "@ProductName": system.product,
        "@CurrentBuild": system.build,
        "@CurrentBuildNumber": system.build,
        "@CurrentVersion": system.version,
        "@EditionID": system.edition,
        "@InstallationType": "Client" if system.client else "Server",
        **({"@CurrentMajorVersionNumber": 10, "@CurrentMinorVersionNumber": 0} if system.version == "6.3" else {}),
        "@UBR": 5206,
        "@SystemRoot": "C:\\Windows",
        "Winlogon": winlogon,
    }
    frameworks = {"NDP": {"v4": {"Full": {"@Install": 1, "@Release": 528049, "@Version": "4.8.03761"}}}}
    windows = {
        "CurrentVersion": {
            "Component Based Servicing": servicing,
            "WindowsUpdate": {"Auto Update": update},
            "Setup": {"State": {"@ImageState": "IMAGE_STATE_COMPLETE"}},
        }
    }
    return {
        "Microsoft": {
            "Windows NT": {"CurrentVersion": current},
            "Windows": windows,
            "NET Framework Setup": frameworks,
        },
        "VMware, Inc.": {"VMware Tools": {"@InstallPath": "C:\\Program Files\\VMware\\VMware Tools\\"}},
    }


def _system(system: Windows) -> dict[str, Any]:
    address: dict[str, Any] = {"@EnableDHCP": 1, "@DhcpIPAddress": "10.11.4.20"}
    if system.static_ip:
        address = {"@EnableDHCP": 0, "@IPAddress": ["10.11.4.20"], "@NameServer": "10.10.0.53"}
    if system.address_slot:
        address = {"@EnableDHCP": 1, "@IPAddress": [ADDRESS]}
    paging = ["?:\\pagefile.sys"] if system.auto_pagefile else ["C:\\pagefile.sys 2048 2048"]
    services: dict[str, Any] = {
        "TermService": {"@Start": 3},
        "VMTools": {"@Start": 2, "@DisplayName": "VMware Tools"},
        "Dhcp": {"@Start": 2},
        "Tcpip": {"Parameters": {"Interfaces": {"{6f1b1c1e-1111-4222-8333-444455556666}": address}}},
        "storahci": {"@Start": 0},
        "stornvme": {"@Start": 0},
        "LSI_SAS": {"@Start": 0},
        "pvscsi": {"@Start": 0},
    }
    if system.hyper_v:
        services["vmms"] = {"@Start": 2, "@DisplayName": "Hyper-V Virtual Machine Management"}
    control = {
        "ComputerName": {"ComputerName": {"@ComputerName": system.computer}},
        "Terminal Server": {"@fDenyTSConnections": 0 if system.rdp else 1},
        "Session Manager": {
            "Memory Management": {"@PagingFiles": paging},
            "Environment": {"@PROCESSOR_ARCHITECTURE": "AMD64" if system.bits == 64 else "x86"},
        },
        "Nls": {"Language": {"@InstallLanguage": system.language, "@Default": system.language}},
    }
    return {
        "Select": {"@Current": 1, "@Default": 1, "@Failed": 0, "@LastKnownGood": 1},
        "Setup": {
            "@SetupType": 0,
            "@SystemSetupInProgress": 0,
            "Status": {"SysprepStatus": {"@GeneralizationState": 7, "@CleanupState": 2}},
        },
        "MountedDevices": {"@\\DosDevices\\C:": b"\x78\x56\x34\x12" + struct.pack("<Q", 1048576)},
        "ControlSet001": {"Control": control, "Services": services},
    }


def tree(system: Windows) -> Tree:
    """The C: volume."""
    config = "Windows/System32/config"
    program = pe(0x8664 if system.bits == 64 else 0x14C)
    loader = "winload.efi" if system.efi else "winload.exe"
    files: Tree = {
        f"{config}/SYSTEM": hive(_system(system), "SYSTEM"),
        f"{config}/SOFTWARE": hive(_software(system), "SOFTWARE"),
        f"{config}/SAM": hive({"SAM": {"Domains": {"Account": {"Users": {}}}}}, "SAM"),
        f"{config}/SECURITY": hive({"Policy": {}}, "SECURITY"),
        f"{config}/DEFAULT": hive({"Control Panel": {}}, "DEFAULT"),
        "Windows/Panther/setupact.log": "Info: setup complete\r\n",
        "Program Files/VMware/VMware Tools/vmtoolsd.exe": program,
        "Program Files/Common Files": Dir(),
        "ProgramData": Dir(),
        "Users/Administrator/Desktop": Dir(),
        "Users/Public": Dir(),
        "pagefile.sys": bytes(64 << 10),
    }
    files |= {
        f"Windows/System32/{name}": program for name in ("ntoskrnl.exe", "hal.dll", "smss.exe", "svchost.exe", loader)
    }
    files |= {
        f"Windows/System32/drivers/{name}.sys": program
        for name in ("ntfs", "disk", "storahci", "stornvme", "lsi_sas", "pvscsi", "vmxnet3")
    }
    if system.version.startswith("5."):
        files |= {"ntldr": b"\xe9\xd5\x01".ljust(4096, b"\0"), "NTDETECT.COM": bytes(2048), "boot.ini": _BOOT_INI}
    elif not system.efi:
        files |= {"bootmgr": pe(), "Boot/BCD": boot_store()}
    return files


def boot_store() -> bytes:
    """The boot configuration data, a hive too."""
    return hive({"Description": {"@KeyName": "BCD00000000"}, "Objects": {}}, "BCD")


def esp() -> Tree:
    """The EFI system partition of a Windows system."""
    return {
        "EFI/Microsoft/Boot/bootmgfw.efi": pe(),
        "EFI/Microsoft/Boot/BCD": boot_store(),
        "EFI/BOOT/BOOTX64.EFI": pe(),
    }
