"""The Windows guests, good ones and bad ones. Each docstring says what is right or wrong about its guest."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from guestlib import disks, filesystems, windows
from guestlib.disks import ESP, MS_DATA, MS_RESERVED, Part
from guestlib.filesystems import Extent, Tree
from guestlib.recipe import guest
from guestlib.windows import WINDOWS_MBR, Windows


def _bios(path: Path, mib: int, system: Windows) -> list[Extent]:
    build = partial(filesystems.ntfs, tree=windows.tree(system), label="Windows")
    parts = [Part("7", None, build, active=True)]
    return disks.mbr(path, mib, parts, seed=system.computer, boot_code=WINDOWS_MBR)


@guest("Windows Server 2019 Standard, BIOS", boot="bios", expect=("vmware-tools",))
def ws2019_bios(path: Path) -> list[Extent]:
    """Right: RDP allowed, DHCP, fixed page file, English, more than 6 GiB free. VMware Tools are still installed."""
    return _bios(path, 8192, Windows("Windows Server 2019 Standard", "17763", "ServerStandard", "WIN-FS01"))


@guest("Windows Server 2022 Datacenter, UEFI", boot="uefi", expect=("vmware-tools",))
def ws2022_uefi(path: Path) -> list[Extent]:
    """Right: GPT with ESP and reserved partition, more than 6 GiB free. VMware Tools are still installed."""
    system = Windows("Windows Server 2022 Datacenter", "20348", "ServerDatacenter", "WIN-APP01", efi=True)
    build = partial(filesystems.ntfs, tree=windows.tree(system), label="Windows", start_sector=(1 + 100 + 16) * 2048)
    esp = partial(filesystems.fat, tree=windows.esp(), serial="5D2A22CE", label="SYSTEM")
    parts = [
        Part(ESP, 100, esp, name="EFI system partition"),
        Part(MS_RESERVED, 16, name="Microsoft reserved partition"),
        Part(MS_DATA, None, build, name="Basic data partition"),
    ]
    return disks.gpt(path, 8192, parts, seed="ws2022", boot_code=WINDOWS_MBR)


@guest(
    "Windows Server 2016, full of trouble",
    boot="bios",
    expect=(
        "rdp-denied",
        "pending-reboot",
        "auto-logon",
        "hyper-v",
        "low-space",
        "static-ip",
        "auto-pagefile",
        "vmware-tools",
    ),
)
def ws2016_troubled(path: Path) -> list[Extent]:
    """Wrong: RDP denied, a reboot pending, automatic logon, the Hyper-V role, a static address, too little room."""
    system = Windows(
        "Windows Server 2016 Standard", "14393", "ServerStandard", "PRINT01", rdp=False, pending_reboot=True,
        auto_logon=True, static_ip=True, auto_pagefile=True, hyper_v=True,
    )  # fmt: skip
    return _bios(path, 512, system)


@guest("Windows 10 Pro, German", boot="bios", expect=("language", "auto-pagefile", "vmware-tools"))
def win10_bios(path: Path) -> list[Extent]:
    """Doubtful: a client installed in German (0407), with an automatic page file. Room enough, RDP allowed."""
    system = Windows(
        "Windows 10 Pro", "19045", "Professional", "DESK-4711", client=True, language="0407", auto_pagefile=True
    )  # fmt: skip
    return _bios(path, 8192, system)


@guest("A few files of a Windows Server 2019, in 6 MiB", boot="bios", expect=("vmware-tools", "low-space"))
def tiny_windows(path: Path) -> list[Extent]:
    """For tests. MBR and a 6 MiB NTFS volume with registry hives and the main system files."""
    return _bios(path, 7, Windows("Windows Server 2019 Standard", "17763", "ServerStandard", "WIN-01"))


@guest("File shares, NTFS", boot="none")
def data_ntfs(path: Path) -> list[Extent]:
    """All right. A data disk: MBR with one NTFS volume."""
    tree: Tree = {"Shares/Finance/readme.txt": "Finance\r\n", "Shares/HR/readme.txt": "HR\r\n"}
    build = partial(filesystems.ntfs, tree=tree, label="Data")
    return disks.mbr(path, 1024, [Part("7", None, build)], seed="data-ntfs")
