"""The Linux guests, good ones and bad ones. Each docstring says what is right or wrong about its guest."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import Any

from guestlib import disks, filesystems, linux, lvm
from guestlib.disks import ESP, LINUX, Part, guid
from guestlib.filesystems import Extent, Link, Tree
from guestlib.linux import GRUB_MBR, System
from guestlib.recipe import guest
from guestlib.tools import run
from guestlib.windows import pe

DEBIAN12 = {
    "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
    "NAME": "Debian GNU/Linux",
    "VERSION_ID": "12",
    "ID": "debian",
}
_DEBIAN11 = {
    "PRETTY_NAME": "Debian GNU/Linux 11 (bullseye)",
    "NAME": "Debian GNU/Linux",
    "VERSION_ID": "11",
    "ID": "debian",
}
_UBUNTU22 = {
    "PRETTY_NAME": "Ubuntu 22.04.5 LTS",
    "NAME": "Ubuntu",
    "VERSION_ID": "22.04",
    "ID": "ubuntu",
    "ID_LIKE": "debian",
}
_RHEL9 = {
    "NAME": "Red Hat Enterprise Linux", "VERSION": "9.4 (Plow)", "ID": "rhel", "ID_LIKE": "fedora", "VERSION_ID": "9.4",
    "PRETTY_NAME": "Red Hat Enterprise Linux 9.4 (Plow)",
}  # fmt: skip
_RHEL8 = {
    "NAME": "Red Hat Enterprise Linux", "VERSION": "8.9 (Ootpa)", "ID": "rhel", "ID_LIKE": "fedora",
    "VERSION_ID": "8.9", "PRETTY_NAME": "Red Hat Enterprise Linux 8.9 (Ootpa)",
}  # fmt: skip
_CENTOS7 = {"NAME": "CentOS Linux", "VERSION_ID": "7", "ID": "centos", "PRETTY_NAME": "CentOS Linux 7 (Core)"}
_SLES15 = {"NAME": "SLES", "VERSION_ID": "15.5", "ID": "sles", "PRETTY_NAME": "SUSE Linux Enterprise Server 15 SP5"}
_AMAZON = {
    "NAME": "Amazon Linux", "VERSION_ID": "2023", "ID": "amzn", "ID_LIKE": "fedora",
    "PRETTY_NAME": "Amazon Linux 2023.6.20250115",
}  # fmt: skip
K_DEBIAN12, K_DEBIAN11 = "6.1.0-18-amd64", "5.10.0-28-amd64"
K_UBUNTU22, K_RHEL9, K_RHEL8 = "5.15.0-125-generic", "5.14.0-427.13.1.el9_4.x86_64", "4.18.0-513.5.1.el8_9.x86_64"
K_CENTOS7, K_SLES15 = "3.10.0-1160.119.1.el7.x86_64", "5.14.21-150500.55.44-default"
K_AMAZON, K_CENTOS5 = "6.1.119-129.201.amzn2023.x86_64", "2.6.18-398.el5"


def _swap(seed: str) -> disks.Build:
    def build(image: Path) -> list[Extent]:
        run("mkswap", "-q", "-U", guid(seed), str(image), frozen=False)
        return []

    return build


def _ext(tree: Tree, uuid: str, **options: Any) -> disks.Build:
    return partial(filesystems.ext, tree=tree, uuid=uuid, **options)


def _esp(vendor: str, *, fallback: bool = True, root: str = "") -> Part:
    tree: Tree = {
        f"EFI/{vendor}/shimx64.efi": pe(),
        f"EFI/{vendor}/grubx64.efi": pe(),
        f"EFI/{vendor}/grub.cfg": (
            f"search.fs_uuid {root} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
        ),
    }
    if fallback:
        tree |= {"EFI/BOOT/BOOTX64.EFI": pe()}
    return Part(ESP, 64, partial(filesystems.fat, tree=tree, serial="5D2A-11CE".replace("-", "")), name="EFI System")


def debian12(seed: str, *, files: Tree | None = None, fstab: str = "", boot_uuid: str = "") -> System:
    tree: Tree = {"etc/debian_version": "12.4\n", **(files or {})}
    return System(guid(f"{seed} root"), K_DEBIAN12, DEBIAN12, "web", files=tree, fstab=fstab, boot_uuid=boot_uuid)


def debian_disk(path: Path, mib: int, seed: str, tree: Tree, **options: Any) -> list[Extent]:
    parts = [Part("83", None, _ext(tree, guid(f"{seed} root"), **options), active=True)]
    return disks.mbr(path, mib, parts, seed=seed, boot_code=GRUB_MBR)


@guest("Debian 12.4, BIOS", boot="bios")
def debian12_bios(path: Path) -> list[Extent]:
    """All right. MBR, ext4 root and a swap partition, GRUB 2, fstab by UUID, DHCP, sshd, NVMe, ENA and Xen drivers."""
    seed = "debian12-bios"
    system = debian12(seed, fstab=f"UUID={guid(f'{seed} swap')} none swap sw 0 0\n")
    parts = [
        Part("83", 1791, _ext(linux.debian(system), system.uuid), active=True),
        Part("82", None, _swap(f"{seed} swap")),
    ]
    return disks.mbr(path, 2048, parts, seed=seed, boot_code=GRUB_MBR)


@guest("Ubuntu 22.04, UEFI", boot="uefi")
def ubuntu2204_uefi(path: Path) -> list[Extent]:
    """All right. GPT, an ESP with the fallback EFI/BOOT/BOOTX64.EFI, ext4 root, netplan with DHCP."""
    return _ubuntu(path, "ubuntu2204-uefi", 2048, fallback=True)


@guest("Ubuntu 22.04, UEFI, no fallback loader", boot="uefi", expect=("no-bootx64",))
def ubuntu2204_uefi_nofallback(path: Path) -> list[Extent]:
    """Wrong: the ESP has EFI/ubuntu only, not EFI/BOOT/BOOTX64.EFI, and there is no BIOS boot path."""
    return _ubuntu(path, "ubuntu2204-uefi-nofallback", 768, fallback=False)


def _ubuntu(path: Path, seed: str, mib: int, *, fallback: bool) -> list[Extent]:
    root = guid(f"{seed} root")
    system = System(
        root, K_UBUNTU22, _UBUNTU22, "web", network="netplan", fstab="UUID=5D2A-11CE /boot/efi vfat umask=0077 0 1\n",
        files={"etc/debian_version": "bookworm/sid\n", "etc/lsb-release": "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\n"},
    )  # fmt: skip
    parts = [_esp("ubuntu", fallback=fallback, root=root), Part(LINUX, None, _ext(linux.debian(system), root))]
    return disks.gpt(path, mib, parts, seed=seed)


def _rhel9(path: Path, seed: str, saved: str) -> list[Extent]:
    root = guid(f"{seed} root")
    system = System(
        root, K_RHEL9, _RHEL9, "app", root_type="xfs", network="networkmanager",
        fstab="UUID=5D2A-11CE /boot/efi vfat umask=0077,shortname=winnt 0 2\n",
        files={"etc/redhat-release": "Red Hat Enterprise Linux release 9.4 (Plow)\n"},
    )  # fmt: skip
    tree = linux.enterprise(system, bls=saved)
    return disks.gpt(
        path,
        1024,
        [_esp("redhat", root=root), Part(LINUX, None, partial(filesystems.xfs, tree=tree, uuid=root))],
        seed=seed,
    )


@guest("Red Hat Enterprise Linux 9.4, UEFI, XFS", boot="uefi")
def rhel9_uefi_xfs(path: Path) -> list[Extent]:
    """All right. GPT, ESP with the fallback loader, XFS root, BLS entries with a saved entry that exists."""
    return _rhel9(path, "rhel9-uefi-xfs", "{entry}")


@guest("Red Hat Enterprise Linux 9.4, stale saved entry", boot="uefi", expect=("bls-saved-entry",))
def rhel9_bls_stale(path: Path) -> list[Extent]:
    """Wrong: grubenv's saved_entry names a kernel entry that is not in /boot/loader/entries any more."""
    return _rhel9(path, "rhel9-bls-stale", "0123456789abcdef0123456789abcdef-5.14.0-70.13.1.el9_0.x86_64")


@guest("CentOS 7.9, BIOS, XFS", boot="bios", expect=("end-of-life",))
def centos7_bios_xfs(path: Path) -> list[Extent]:
    """Right but old: MBR, XFS root, GRUB 2; listed as deprecated in an earlier edition of the guide."""
    root = guid("centos7 root")
    system = System(
        root, K_CENTOS7, _CENTOS7, "tomcat", root_type="xfs", network="initscripts",
        files={"etc/redhat-release": "CentOS Linux release 7.9.2009 (Core)\n"},
    )  # fmt: skip
    options = "crc=1,finobt=0,reflink=0,inobtcount=0,bigtime=0"
    build = partial(filesystems.xfs, tree=linux.enterprise(system), uuid=root, options=options)
    return disks.mbr(path, 768, [Part("83", None, build, active=True)], seed="centos7", boot_code=GRUB_MBR)


@guest("SUSE Linux Enterprise Server 15 SP5, BIOS", boot="bios")
def sles15_bios(path: Path) -> list[Extent]:
    """All right. MBR, ext4 root (not the installer's Btrfs with subvolumes: VM import refuses it), DHCP by wicked."""
    root = guid("sles15 root")
    system = System(root, K_SLES15, _SLES15, "sap-router", network="wicked")
    parts = [Part("83", None, _ext(linux.suse(system), root), active=True)]
    return disks.mbr(path, 768, parts, seed="sles15", boot_code=GRUB_MBR)


@guest("Amazon Linux 2023, GPT with BIOS boot and ESP", boot="uefi")
def amazon2023(path: Path) -> list[Extent]:
    """All right. GPT with a BIOS boot partition and an ESP, XFS root, systemd-networkd with DHCP."""
    root = guid("amazon2023 root")
    system = System(root, K_AMAZON, _AMAZON, "bastion", root_type="xfs", network="networkd")
    build = partial(filesystems.xfs, tree=linux.enterprise(system, bls="{entry}"), uuid=root, label="/")
    parts = [Part(disks.BIOS_BOOT, 1), _esp("amzn", root=root), Part(LINUX, None, build)]
    return disks.gpt(path, 640, parts, seed="amazon2023", boot_code=GRUB_MBR)


@guest("Debian 11, fstab by device name", boot="bios", expect=("fstab-device-names", "predictable-nic"))
def debian11_fstab_devices(path: Path) -> list[Extent]:
    """Works with luck: fstab says /dev/sda1 and /dev/sdb1, and the network is configured for ens192."""
    seed = "debian11-fstab-devices"
    files: Tree = {
        "etc/debian_version": "11.9\n",
        "etc/fstab": "/dev/sda1 / ext4 errors=remount-ro 0 1\n/dev/sdb1 /srv ext4 defaults 0 2\n",
        "etc/network/interfaces": "auto lo\niface lo inet loopback\n\nauto ens192\niface ens192 inet dhcp\n",
    }
    system = System(guid(f"{seed} root"), K_DEBIAN11, _DEBIAN11, "cms", cmdline="ro quiet", files=files)
    return debian_disk(path, 512, seed, linux.debian(system))


@guest("Debian 12.4 without fstab", boot="bios", expect=("no-fstab",))
def debian12_no_fstab(path: Path) -> list[Extent]:
    """Wrong: /etc/fstab is missing ("Could not read fstab")."""
    tree = linux.debian(debian12("debian12-no-fstab"))
    del tree["etc/fstab"]
    return debian_disk(path, 512, "debian12-no-fstab", tree)


@guest("Debian 12.4 with an invalid fstab", boot="bios", expect=("fstab-invalid",))
def debian12_bad_fstab(path: Path) -> list[Extent]:
    """Wrong: a line of /etc/fstab has only two fields."""
    seed = "debian12-bad-fstab"
    return debian_disk(path, 512, seed, linux.debian(debian12(seed, fstab="UUID=0000-1111 /backup\n")))


@guest("Two Linux systems on one disk", boot="bios", expect=("several-roots", "several-grub-configs"))
def dual_boot(path: Path) -> list[Extent]:
    """Wrong: Debian 12 and CentOS 7, each with its own /etc and GRUB configuration ("Multiple directories")."""
    debian = debian12("dual-boot")
    centos = System(guid("dual-boot centos"), K_CENTOS7, _CENTOS7, "other", network="initscripts")
    parts = [
        Part("83", 384, _ext(linux.debian(debian), debian.uuid), active=True),
        Part("83", None, _ext(linux.enterprise(centos), centos.uuid)),
    ]
    return disks.mbr(path, 768, parts, seed="dual-boot", boot_code=GRUB_MBR)


@guest("CentOS 5.11, 32-bit", boot="bios", expect=("i386", "end-of-life"))
def centos5_i386(path: Path) -> list[Extent]:
    """Wrong: a 32-bit system (ELF class of /bin/ls), past its end of life; ext3, GRUB Legacy, no os-release."""
    system = System(guid("centos5 root"), K_CENTOS5, {}, "booking", arch=linux.I386)
    options = {"features": filesystems.EXT3, "label": "/"}
    return debian_disk(path, 384, "centos5", linux.legacy(system), **options)


@guest("Debian 12.4 after a power cut", boot="bios", expect=("journal-dirty",))
def debian12_dirty(path: Path) -> list[Extent]:
    """Unknown: the ext4 journal needs recovery, so what is missing may be in the journal. Everything else is right."""
    seed = "debian12-dirty"
    return debian_disk(path, 512, seed, linux.debian(debian12(seed)), dirty=True)


@guest("Debian 12.4 with a broken initramfs", boot="bios", expect=("initramfs-unreadable",))
def debian12_bad_initrd(path: Path) -> list[Extent]:
    """Wrong: the initrd that grub.cfg names is neither cpio nor any compression of it."""
    seed = "debian12-bad-initrd"
    system = debian12(seed, files={f"boot/initrd.img-{K_DEBIAN12}": b"garbage!" * 512})
    return debian_disk(path, 512, seed, linux.debian(system))


def _lvm_disk(path: Path, seed: str, *, missing: bool) -> list[Extent]:
    boot, root = guid(f"{seed} boot"), guid(f"{seed} root")
    system = System(
        root, K_RHEL8, _RHEL8, "files", network="networkmanager", boot_uuid=boot,
        cmdline="ro rd.lvm.lv=rhel/root net.ifnames=0 biosdevname=0",
        fstab=f"UUID={boot} /boot ext4 defaults 1 2\n/dev/mapper/rhel-swap none swap defaults 0 0\n",
        files={"etc/redhat-release": "Red Hat Enterprise Linux release 8.9 (Ootpa)\n"},
    )  # fmt: skip
    whole = linux.enterprise(system, bls="{entry}")
    boot_tree = {name.removeprefix("boot/"): content for name, content in whole.items() if name.startswith("boot/")}
    root_tree = {name: content for name, content in whole.items() if not name.startswith("boot/")}

    def group(image: Path) -> list[Extent]:
        start, volumes = lvm.physical_volume("rhel", image.stat().st_size, {"root": 448, "swap": 64}, missing=missing)
        with image.open("r+b") as file:
            file.write(start)
        free: list[Extent] = []
        for volume in volumes:
            inner = image.with_suffix(".lv")
            inner.touch()
            with inner.open("r+b") as file:
                file.truncate(volume.size)
            build = _swap(f"{seed} swap") if volume.name == "swap" else _ext(root_tree, root)
            free += [(volume.offset + at, size) for at, size in build(inner)]
            disks.copy_into(inner, image, volume.offset)
            inner.unlink()
        return free

    parts = [Part("83", 192, _ext(boot_tree, boot), active=True), Part("8e", None, group)]
    return disks.mbr(path, 768, parts, seed=seed, boot_code=GRUB_MBR)


@guest("Red Hat Enterprise Linux 8.9 on LVM", boot="bios")
def rhel8_lvm(path: Path) -> list[Extent]:
    """All right. MBR, ext4 /boot, and a volume group with root and swap that lies on this disk completely."""
    return _lvm_disk(path, "rhel8-lvm", missing=False)


@guest("Red Hat Enterprise Linux 8.9, half a volume group", boot="bios", expect=("lvm-missing-pv",))
def rhel8_lvm_missing(path: Path) -> list[Extent]:
    """Wrong: the volume group names a second physical volume that is on no disk of this machine."""
    return _lvm_disk(path, "rhel8-lvm-missing", missing=True)


def _luks_header(uuid: str) -> bytes:
    """A LUKS1 header as cryptsetup writes it, with one key slot in use; the keys are noise nobody has."""
    payload = 4096  # sectors
    head = b"LUKS\xba\xbe" + struct.pack(">H", 1)
    head += b"aes".ljust(32, b"\0") + b"xts-plain64".ljust(32, b"\0") + b"sha256".ljust(32, b"\0")
    head += struct.pack(">II", payload, 64) + bytes(range(20)) + bytes(range(32)) + struct.pack(">I", 102_400)
    head += uuid.encode().ljust(40, b"\0")
    for slot in range(8):
        active = 0x00AC71F3 if slot == 0 else 0x0000DEAD
        head += struct.pack(">II32sII", active, 1_024_000, bytes([slot]) * 32, 8 + slot * 504, 4000)
    return head


@guest("Debian 12 with an encrypted root", boot="bios", expect=("encrypted-volume",), noise="random")
def debian12_luks(path: Path) -> list[Extent]:
    """Wrong: root is a LUKS1 volume ("encrypted volumes"); only /boot can be read."""
    seed = "debian12-luks"
    whole = linux.debian(debian12(seed, boot_uuid=guid(f"{seed} boot")))
    boot_tree = {name.removeprefix("boot/"): content for name, content in whole.items() if name.startswith("boot/")}

    def encrypted(image: Path) -> list[Extent]:
        with image.open("r+b") as file:
            file.write(_luks_header(guid(f"{seed} luks")))
        return [(4096 * 512, image.stat().st_size - 4096 * 512)]

    def readable(image: Path) -> list[Extent]:
        filesystems.ext(image, boot_tree, guid(f"{seed} boot"))
        return []  # the noise belongs to the encrypted volume only

    parts = [Part("83", 128, readable, active=True), Part("83", None, encrypted)]
    return disks.mbr(path, 512, parts, seed=seed, boot_code=GRUB_MBR)


@guest(
    "A few files of a Debian 12, in 6 MiB",
    boot="bios",
    expect=("no-modules", "no-sshd", "no-dhcp", "low-space"),
)
def tiny_linux(path: Path) -> list[Extent]:
    """For tests. MBR and a 6 MiB ext2 file system with os-release, fstab, grub.cfg, kernel and initramfs, no more."""
    system = debian12("tiny-linux")
    keep = {"etc/fstab", "etc/os-release", "usr/lib/os-release", "etc/hostname", "boot/grub/grub.cfg"}
    keep.add(f"boot/initrd.img-{K_DEBIAN12}")
    tree = {name: content for name, content in linux.debian(system).items() if name in keep}
    tree[f"boot/vmlinuz-{K_DEBIAN12}"] = linux.kernel(K_DEBIAN12, "debian")
    return debian_disk(path, 7, "tiny-linux", tree, features=filesystems.EXT2)


@guest("PostgreSQL data, ext4", boot="none")
def data_ext4(path: Path) -> list[Extent]:
    """All right. A data disk: GPT with one ext4 file system."""
    tree: Tree = {
        "postgresql/15/main/PG_VERSION": "15\n",
        "postgresql/15/main/global/pg_control": bytes(range(256)) * 32,
        "postgresql/15/main/postgresql.conf": Link("/etc/postgresql/15/main/postgresql.conf"),
    }
    part = Part(LINUX, None, _ext(tree, guid("data-ext4"), label="pgdata"))
    return disks.gpt(path, 1024, [part], seed="data-ext4")


@guest("Data, XFS without a partition table", boot="none")
def data_xfs(path: Path) -> list[Extent]:
    """All right. A data disk that is one XFS file system from its first byte, as many administrators make them."""
    tree: Tree = {"spool/README": "application spool\n"}
    return disks.whole(path, 512, partial(filesystems.xfs, tree=tree, uuid=guid("data-xfs"), label="spool"))
