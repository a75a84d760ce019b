"""The templates of the demo's machines: one good system for each guest operating system that its fleet runs.

Host name and network configuration lie in slots: files of a fixed length that the fleet overwrites, so that every
machine has a disk of its own (see `slots`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from guestlib import disks, filesystems, linux, slots, windows
from guestlib.disks import ESP, LINUX, MS_DATA, MS_RESERVED, Part, guid
from guestlib.filesystems import Extent, Link, Tree
from guestlib.linux import ARM64, GRUB_MBR, I386, OLD_DRIVERS, System
from guestlib.recipe import guest
from guestlib.windows import WINDOWS_MBR, Windows, pe

PREFIX = "base-"
_LINUX_MIB, _WINDOWS_MIB = 2048, 6400  # VM import wants 6 GiB free on a system volume of Windows
_ESP_SERIAL, _ESP_UUID = "5D2A11CE", "5D2A-11CE"
_OLD = (*OLD_DRIVERS, *linux.DRIVERS)


@dataclass(frozen=True, slots=True)
class Base:
    """A Linux template. ``kin``: debian, enterprise, suse or legacy; ``loader``: the vendor's folder on the ESP.

    ``without``: paths that the kin has and this system has not.
    """

    title: str
    kernel: str
    release: Mapping[str, str]
    kin: str
    network: str
    root: str = "ext4"
    loader: str = ""  # empty: it boots by BIOS
    bls: bool = False
    expect: tuple[str, ...] = ()
    arch: tuple[int, int] = linux.X86_64
    files: Tree = field(default_factory=dict)
    without: tuple[str, ...] = ()
    fallback: str = "EFI/BOOT/BOOTX64.EFI"


def _release(ident: str, version: str, name: str, pretty: str, like: str = "") -> dict[str, str]:
    found = {"NAME": name, "VERSION_ID": version, "ID": ident, "PRETTY_NAME": pretty}
    return {**found, "ID_LIKE": like} if like else found


def _debian(version: str, point: str, word: str, kernel: str, network: str = "ifupdown", **more: object) -> Base:
    pretty = f"Debian GNU/Linux {version} ({word})"
    files: Tree = {"etc/debian_version": f"{point}\n"}
    release = _release("debian", version, "Debian GNU/Linux", pretty)
    return Base(f"Debian {point}", kernel, release, "debian", network, files=files, **more)  # type: ignore[arg-type]


def _ubuntu(version: str, point: str, kernel: str, network: str = "netplan", **more: object) -> Base:
    files: Tree = {"etc/lsb-release": f"DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE={version}\n"}
    release = _release("ubuntu", version, "Ubuntu", f"Ubuntu {point} LTS", "debian")
    return Base(f"Ubuntu {point} LTS", kernel, release, "debian", network, files=files, **more)  # type: ignore[arg-type]


def _enterprise(ident: str, version: str, pretty: str, kernel: str, network: str, **more: object) -> Base:
    name = pretty.partition(version.partition(".")[0])[0].strip()
    files: Tree = {"etc/redhat-release": f"{pretty}\n"}
    release = _release(ident, version, name, pretty, "fedora")
    return Base(pretty, kernel, release, "enterprise", network, files=files, **more)  # type: ignore[arg-type]


def _legacy(pretty: str, kernel: str, *, oracle: bool = False, **more: object) -> Base:
    """Enterprise Linux 5 and 6: no os-release, no systemd, GRUB Legacy; Amazon's drivers were installed."""
    files: Tree = {"etc/redhat-release": f"{pretty}\n", "usr/bin/vmtoolsd": linux.elf()}
    if oracle:
        files["etc/oracle-release"] = f"{pretty}\n"
    return Base(pretty, kernel, {}, "legacy", "initscripts", "ext3", files=files, **more)  # type: ignore[arg-type]


_RHEL = "Red Hat Enterprise Linux"
_UEFI = {"loader": "redhat", "root": "xfs", "bls": True}
_OLD_SYSTEM = ("end-of-life",)
_NO_TOOLS = ("usr/bin/vmtoolsd",)
_SUSE11: Tree = {
    "etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
    "etc/rc.d/rc3.d/S11sshd": Link("../sshd"),
    "boot/grub/menu.lst": (
        "default 0\ntimeout 8\ntitle SUSE Linux Enterprise Server 11 SP4\n    root (hd0,0)\n"
        "    kernel /boot/vmlinuz-3.0.101-108-default root=LABEL=/ showopts\n"
        "    initrd /boot/initrd-3.0.101-108-default\n"
    ),
}

LINUX_BASES: dict[str, Base] = {
    "debian13": _debian(
        "13", "13.1", "trixie", "6.12.43+deb13-amd64", "networkd", loader="debian", expect=("newer-system",)
    ),
    "debian12": _debian("12", "12.4", "bookworm", "6.1.0-18-amd64"),
    "debian11": _debian("11", "11.9", "bullseye", "5.10.0-28-amd64"),
    "debian11-plain": _debian("11", "11.9", "bullseye", "5.10.0-28-amd64", without=_NO_TOOLS),
    "debian10": _debian("10", "10.13", "buster", "4.19.0-26-amd64", expect=_OLD_SYSTEM),
    "debian7": _debian("7", "7.8", "wheezy", "3.2.0-4-amd64", expect=_OLD_SYSTEM),
    "ubuntu2404": _ubuntu("24.04", "24.04.1", "6.8.0-51-generic", loader="ubuntu"),
    "ubuntu2204": _ubuntu("22.04", "22.04.5", "5.15.0-125-generic", loader="ubuntu"),
    "ubuntu2004": _ubuntu("20.04", "20.04.6", "5.4.0-204-generic"),
    "ubuntu1804": _ubuntu("18.04", "18.04.6", "4.15.0-213-generic"),
    "ubuntu1404": _ubuntu("14.04", "14.04.6", "3.13.0-170-generic", "ifupdown", expect=_OLD_SYSTEM),
    "ubuntu-arm": _ubuntu(
        "22.04", "22.04.5", "5.15.0-125-generic", loader="ubuntu", arch=ARM64, expect=("arm64", "no-bootx64"),
        fallback="EFI/BOOT/BOOTAA64.EFI",
    ),
    "rhel9": _enterprise(
        "rhel", "9.4", f"{_RHEL} 9.4 (Plow)", "5.14.0-427.13.1.el9_4.x86_64", "networkmanager", **_UEFI
    ),
    "rhel8": _enterprise(
        "rhel", "8.9", f"{_RHEL} 8.9 (Ootpa)", "4.18.0-513.5.1.el8_9.x86_64", "initscripts", root="xfs", bls=True
    ),
    "rhel7": _enterprise(
        "rhel", "7.9", f"{_RHEL} Server 7.9 (Maipo)", "3.10.0-1160.119.1.el7.x86_64", "initscripts", root="xfs"
    ),
    "rhel6": _legacy(
        f"{_RHEL} Server release 6.10 (Santiago)", "2.6.32-754.35.1.el6.x86_64", expect=_OLD_SYSTEM
    ),
    "rhel5": _legacy(f"{_RHEL} Server release 5.11 (Tikanga)", "2.6.18-398.el5", expect=_OLD_SYSTEM),
    "rhel6-32": _legacy(
        f"{_RHEL} Server release 6.9 (Santiago)", "2.6.32-696.el6.i686", arch=I386, expect=("i386", "end-of-life")
    ),
    "rocky9": _enterprise(
        "rocky", "9.4", "Rocky Linux 9.4 (Blue Onyx)", "5.14.0-427.13.1.el9_4.x86_64", "networkmanager",
        **{**_UEFI, "loader": "rocky"},
    ),
    "alma9": _enterprise(
        "almalinux", "9.4", "AlmaLinux 9.4 (Seafoam Ocelot)", "5.14.0-427.13.1.el9_4.x86_64", "networkmanager",
        expect=("unsupported-os",), **{**_UEFI, "loader": "almalinux"},
    ),
    "oracle8": _enterprise(
        "ol", "8.9", "Oracle Linux Server 8.9", "5.15.0-206.153.7.el8uek.x86_64", "initscripts", root="xfs", bls=True
    ),
    "oracle7": _enterprise(
        "ol", "7.6", "Oracle Linux Server 7.6", "4.14.35-1902.303.5.el7uek.x86_64", "initscripts", root="xfs"
    ),
    "oracle6": _legacy(
        "Oracle Linux Server release 6.10", "2.6.32-754.35.1.el6.x86_64", oracle=True, expect=_OLD_SYSTEM
    ),
    "centos8": _enterprise(
        "centos", "8", "CentOS Linux 8 (Core)", "4.18.0-193.28.1.el8_2.x86_64", "initscripts", root="xfs", bls=True,
        expect=_OLD_SYSTEM,
    ),
    "centos7": _enterprise(
        "centos", "7", "CentOS Linux 7 (Core)", "3.10.0-1160.119.1.el7.x86_64", "initscripts", root="xfs",
        expect=_OLD_SYSTEM,
    ),
    "centos6": _legacy("CentOS release 6.8 (Final)", "2.6.32-642.el6.x86_64", expect=_OLD_SYSTEM),
    "sles15": Base(
        "SUSE Linux Enterprise Server 15 SP5", "5.14.21-150500.55.44-default",
        _release("sles", "15.5", "SLES", "SUSE Linux Enterprise Server 15 SP5"), "suse", "wicked", "xfs",
    ),
    "sles12": Base(
        "SUSE Linux Enterprise Server 12 SP5", "4.12.14-122.228-default",
        _release("sles", "12.5", "SLES", "SUSE Linux Enterprise Server 12 SP5"), "suse", "wicked", "xfs",
        expect=_OLD_SYSTEM,
    ),
    "sles11": Base(
        "SUSE Linux Enterprise Server 11 SP4", "3.0.101-108-default", {"PRETTY_NAME": "SLES 11"}, "suse", "wicked",
        "ext3", expect=_OLD_SYSTEM, files=_SUSE11,
        without=("etc/os-release", "usr/lib/os-release", "boot/grub2/grub.cfg", "etc/default/grub"),
    ),
    "amazon2023": _enterprise(
        "amzn", "2023", "Amazon Linux 2023.6.20250115", "6.1.119-129.201.amzn2023.x86_64", "networkd",
        **{**_UEFI, "loader": "amzn"},
    ),
    "amazon2": _enterprise(
        "amzn", "2", "Amazon Linux 2", "5.10.230-223.885.amzn2.x86_64", "initscripts", root="xfs"
    ),
    "fedora38": _enterprise(
        "fedora", "38", "Fedora Linux 38 (Server Edition)", "6.2.9-300.fc38.x86_64", "networkmanager",
        expect=_OLD_SYSTEM, **{**_UEFI, "loader": "fedora"},
    ),
    "photon": _enterprise(
        "photon", "5.0", "VMware Photon OS/Linux", "6.1.10-11.ph5", "networkd", expect=("unsupported-os",)
    ),
    "other-linux": _enterprise(
        "netguard", "4.2", "NetGuard Appliance OS 4.2", "5.10.78-netguard", "networkd", expect=("unsupported-os",),
        without=_NO_TOOLS,
    ),
}  # fmt: skip
_KIN: dict[str, Callable[[System], Tree]] = {
    "debian": linux.debian,
    "enterprise": linux.enterprise,
    "suse": linux.suse,
    "legacy": partial(linux.legacy, drivers=_OLD),
}


def _tree(key: str, base: Base) -> Tree:
    root = guid(f"{PREFIX}{key} root")
    files = slots.linux_files(base.network) | base.files
    esp = f"UUID={_ESP_UUID} /boot/efi vfat umask=0077 0 1\n" if base.loader else ""
    if base.root == "ext3":  # as the installers of that time wrote it
        files["etc/fstab"] = "LABEL=/ / ext3 defaults 1 1\n"
    drivers = _OLD if base.root == "ext3" else linux.DRIVERS
    system = System(
        root, base.kernel, dict(base.release), "localhost", base.arch, base.root, esp, drivers, base.network,
        files=files,
    )  # fmt: skip
    tree = linux.enterprise(system, bls="{entry}") if base.bls else _KIN[base.kin](system)
    if base.kin == "legacy":
        tree["boot/grub/grub.conf"] = str(tree["boot/grub/grub.conf"]).replace("title CentOS", f"title {base.title}")
    return {name: content for name, content in tree.items() if name not in base.without}


def _linux_disk(path: Path, key: str, base: Base) -> list[Extent]:
    seed = f"{PREFIX}{key}"
    root, tree = guid(f"{seed} root"), _tree(key, base)
    if base.root == "xfs":
        build: disks.Build = partial(filesystems.xfs, tree=tree, uuid=root)
    elif base.root == "ext3":
        build = partial(filesystems.ext, tree=tree, uuid=root, features=filesystems.EXT3, label="/")
    else:
        build = partial(filesystems.ext, tree=tree, uuid=root)
    if not base.loader:
        return disks.mbr(path, _LINUX_MIB, [Part("83", None, build, active=True)], seed=seed, boot_code=GRUB_MBR)
    machine = "aa64" if base.arch == ARM64 else "x64"
    esp: Tree = {
        f"EFI/{base.loader}/shim{machine}.efi": pe(),
        f"EFI/{base.loader}/grub{machine}.efi": pe(),
        f"EFI/{base.loader}/grub.cfg": f"search.fs_uuid {root} root\nconfigfile ($root)/boot/grub/grub.cfg\n",
        base.fallback: pe(),
    }
    parts = [
        Part(ESP, 64, partial(filesystems.fat, tree=esp, serial=_ESP_SERIAL), name="EFI System"),
        Part(LINUX, None, build),
    ]
    return disks.gpt(path, _LINUX_MIB, parts, seed=seed)


def _register_linux(key: str, base: Base) -> None:
    def make(path: Path) -> list[Extent]:
        return _linux_disk(path, key, base)

    firmware = "UEFI" if base.loader else "BIOS"
    make.__name__ = f"{PREFIX}{key}"
    make.__doc__ = f"A template for the demo's machines: {base.title}, {base.root} root, {firmware}."
    guest(f"{base.title}, {firmware}", boot=firmware.lower(), expect=base.expect)(make)


for _key, _base in LINUX_BASES.items():
    _register_linux(_key, _base)


# -- Windows

_STANDARD = "ServerStandard"
WINDOWS_BASES: dict[str, tuple[Windows, tuple[str, ...]]] = {
    key: (Windows(product, build, edition, slots.COMPUTER, address_slot=True, **more), expect)  # type: ignore[arg-type]
    for key, product, build, edition, more, expect in (
        ("ws2025", "Windows Server 2025 Standard", "26100", _STANDARD, {"efi": True}, ()),
        ("ws2022", "Windows Server 2022 Standard", "20348", _STANDARD, {"efi": True}, ()),
        ("ws2019", "Windows Server 2019 Standard", "17763", _STANDARD, {}, ()),
        ("ws2016", "Windows Server 2016 Standard", "14393", _STANDARD, {}, ()),
        ("ws2012", "Windows Server 2012 Standard", "9200", _STANDARD, {"version": "6.2"}, ()),
        ("ws2008r2", "Windows Server 2008 R2 Standard", "7601", _STANDARD, {"version": "6.1"}, _OLD_SYSTEM),
        (
            "ws2003", "Microsoft Windows Server 2003", "3790", "", {"version": "5.2", "bits": 32}, ("end-of-life",),
        ),
        ("win11", "Windows 11 Pro", "22631", "Professional", {"efi": True, "client": True}, ()),
        ("win10", "Windows 10 Pro", "19045", "Professional", {"client": True}, ()),
        (
            "win7", "Windows 7 Professional", "7601", "Professional", {"version": "6.1", "client": True},
            ("end-of-life",),
        ),
    )
}  # fmt: skip


def _windows_disk(path: Path, key: str, system: Windows) -> list[Extent]:
    seed, tree = f"{PREFIX}{key}", windows.tree(system)
    if not system.efi:
        build = partial(filesystems.ntfs, tree=tree, label="")
        return disks.mbr(path, _WINDOWS_MIB, [Part("7", None, build, active=True)], seed=seed, boot_code=WINDOWS_MBR)
    esp = partial(filesystems.fat, tree=windows.esp(), serial=_ESP_SERIAL, label="SYSTEM")
    parts = [
        Part(ESP, 100, esp, name="EFI system partition"),
        Part(MS_RESERVED, 16, name="Microsoft reserved partition"),
        Part(
            MS_DATA, None, partial(filesystems.ntfs, tree=tree, label="", start_sector=(1 + 100 + 16) * 2048),
            name="Basic data partition",
        ),
    ]  # fmt: skip
    return disks.gpt(path, _WINDOWS_MIB + 128, parts, seed=seed, boot_code=WINDOWS_MBR)


def _register_windows(key: str, system: Windows, expect: tuple[str, ...]) -> None:
    def make(path: Path) -> list[Extent]:
        return _windows_disk(path, key, system)

    firmware = "UEFI" if system.efi else "BIOS"
    make.__name__ = f"{PREFIX}{key}"
    make.__doc__ = (
        f"A template for the demo's machines: {system.product}, {firmware}. VMware Tools are still installed."
    )
    guest(f"{system.product}, {firmware}", boot=firmware.lower(), expect=("vmware-tools", *expect))(make)


for _key, (_system, _expect) in WINDOWS_BASES.items():
    _register_windows(_key, _system, _expect)


# -- what VM import does not know, and plain data


@guest("FreeBSD 13.2, BIOS", boot="bios", expect=("unknown-os", "ufs-volume"))
def base_freebsd(path: Path) -> list[Extent]:
    """A template for the demo's machines: FreeBSD's slice and label with the start of a UFS2 file system."""
    code = (
        b"\xfc\x31\xc0\x8e\xc0\x8e\xd8" + b"\0" * 0x150 + b"Invalid partition\0Error loading operating system\0"
    ).ljust(440, b"\0")

    def build(image: Path) -> list[Extent]:
        label = struct.pack("<I", 0x82564557).ljust(132, b"\0") + struct.pack("<I", 0x82564557)
        superblock = bytearray(1376)
        superblock[0x2A8 : 0x2A8 + 1] = b"/"  # last mounted on
        struct.pack_into("<I", superblock, 1372, 0x19540119)  # UFS2
        with image.open("r+b") as file:
            for at, data in ((512, label), (65536, bytes(superblock))):
                file.seek(at)
                file.write(data)
        return [(1 << 20, image.stat().st_size - (1 << 20))]

    return disks.mbr(path, 4096, [Part("a5", None, build, active=True)], seed="base-freebsd", boot_code=code)


@guest("Oracle Solaris 11.4, BIOS", boot="bios", expect=("unknown-os", "zfs-volume"))
def base_solaris(path: Path) -> list[Extent]:
    """A template for the demo's machines: a Solaris partition with the first label of a ZFS pool."""

    def build(image: Path) -> list[Extent]:
        with image.open("r+b") as file:
            file.seek(128 << 10)
            file.write(struct.pack("<5Q", 0x00BAB10C, 37, 1, 0, 1_768_464_000).ljust(1024, b"\0"))
        return [(4 << 20, image.stat().st_size - (4 << 20))]

    return disks.mbr(path, 4096, [Part("bf", None, build, active=True)], seed="base-solaris", boot_code=GRUB_MBR)


@guest("MS-DOS 6.22", boot="bios", expect=("unknown-os",))
def base_other(path: Path) -> list[Extent]:
    """A template for the demo's machines: a FAT16 partition with MS-DOS and one program."""
    code = (
        b"\xfa\x33\xc0\x8e\xd0\xbc\x00\x7c" + b"\0" * 0x80 + b"Invalid partition table\0Missing operating system\0"
    ).ljust(440, b"\0")
    files: Tree = {
        "IO.SYS": b"\xe9\x00\x00" + bytes(4093), "MSDOS.SYS": bytes(4096), "COMMAND.COM": b"\xe9\x5d\x14" + bytes(8189),
        "AUTOEXEC.BAT": "@ECHO OFF\r\nPROMPT $P$G\r\nCONVEYOR\r\n", "CONVEYOR.EXE": b"MZ" + bytes(2046),
    }  # fmt: skip
    build = partial(filesystems.fat, tree=files, serial="31221AE7", label="PLC", bits=16)
    return disks.mbr(path, 512, [Part("6", None, build, active=True)], seed="base-other", boot_code=code)


@guest("Data, ext4", boot="none")
def base_data_ext4(path: Path) -> list[Extent]:
    """A template for the demo's data disks: GPT with one ext4 file system (no checksums of its UUID inside)."""
    features = f"{filesystems.EXT3},extent,64bit,flex_bg,huge_file,dir_nlink,extra_isize"
    build = partial(
        filesystems.ext, tree={"data/README": "data\n"}, uuid=guid("base-data"), features=features, label="data"
    )
    return disks.gpt(path, 1024, [Part(LINUX, None, build)], seed="base-data-ext4")
