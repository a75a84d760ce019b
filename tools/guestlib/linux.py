"""Trees of files that look like installed Linux systems: what a look at a disk reads, and no more."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass, field

from guestlib.filesystems import Dir, Link, Tree

X86_64, I386, ARM64 = (0x3E, 64), (3, 32), (0xB7, 64)
DRIVERS = (
    "kernel/drivers/nvme/host/nvme-core.ko",
    "kernel/drivers/nvme/host/nvme.ko",
    "kernel/drivers/net/ethernet/amazon/ena/ena.ko",
    "kernel/drivers/block/xen-blkfront.ko",
    "kernel/drivers/net/xen-netfront.ko",
    "kernel/drivers/scsi/vmw_pvscsi.ko",
    "kernel/drivers/net/vmxnet3/vmxnet3.ko",
)
OLD_DRIVERS = ("kernel/drivers/scsi/mptspi.ko", "kernel/drivers/net/e1000/e1000.ko", "kernel/fs/ext3/ext3.ko")

# What GRUB's boot.img starts with, and the words it says, at their places.
GRUB_MBR = (b"\xeb\x63\x90" + bytes(0x17D) + b"GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n\0").ljust(440, b"\0")


def elf(arch: tuple[int, int] = X86_64, kind: int = 3) -> bytes:
    """An ELF header of the right class and machine, and some body."""
    machine, bits = arch
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + bytes(9)
    return (ident + struct.pack("<HHI", kind, machine, 1)).ljust(512, b"\0")


def kernel(version: str, builder: str) -> bytes:
    """A bzImage: setup header with the version string where ``file`` and preflight look for it."""
    image = bytearray(8192)
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x1F1] = 3  # setup sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<HH", image, 0x206, 0x20F, 0)
    struct.pack_into("<H", image, 0x20E, 0x400)
    image[0x211] = 1  # loaded high
    text = f"{version} ({builder}) #1 SMP PREEMPT_DYNAMIC\0".encode()
    image[0x600 : 0x600 + len(text)] = text
    return bytes(image)


def _cpio_entry(name: str, data: bytes, mode: int, inode: int) -> bytes:
    raw = name.encode() + b"\0"
    numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + "".join(f"{number:08X}" for number in numbers).encode() + raw
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def initramfs(version: str, drivers: tuple[str, ...] = DRIVERS) -> bytes:
    """A gzipped cpio archive with ``init`` and the drivers, readable by ``lsinitramfs`` and ``lsinitrd``."""
    entries = [("init", b"#!/bin/sh\nexec /sbin/init\n", 0o100755)]
    entries += [(f"usr/lib/modules/{version}/{driver}", elf(kind=1), 0o100644) for driver in drivers]
    body = b"".join(_cpio_entry(name, data, mode, 721 + number) for number, (name, data, mode) in enumerate(entries))
    body += _cpio_entry("TRAILER!!!", b"", 0, 0)
    return gzip.compress(body + bytes(-len(body) % 512), mtime=0)


@dataclass(frozen=True, slots=True)
class System:
    """One Linux system. ``release`` fills os-release; ``uuid`` is the root file system's."""

    uuid: str
    kernel: str
    release: dict[str, str]
    hostname: str
    arch: tuple[int, int] = X86_64
    root_type: str = "ext4"
    fstab: str = ""  # further lines
    drivers: tuple[str, ...] = DRIVERS
    network: str = "ifupdown"  # ifupdown | netplan | networkmanager | wicked | initscripts | networkd
    boot_uuid: str = ""  # when /boot is a file system of its own
    cmdline: str = "ro net.ifnames=0 biosdevname=0"
    files: Tree = field(default_factory=dict)

    @property
    def boot(self) -> str:
        """Where GRUB finds the kernel on the file system it looks at."""
        return "" if self.boot_uuid else "/boot"

    @property
    def root(self) -> str:
        return f"UUID={self.uuid}"


def _os_release(release: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" if value.isalnum() else f'{key}="{value}"\n' for key, value in release.items())


def network(kind: str) -> Tree:
    """Configuration that asks for an address by DHCP on eth0, and the client that does."""
    program = elf()
    match kind:
        case "ifupdown":
            text = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n"
            return {"etc/network/interfaces": text, "usr/sbin/dhclient": program}
        case "netplan":
            text = "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n"
            return {
                "etc/netplan/50-cloud-init.yaml": text,
                "usr/sbin/netplan": "#!/usr/bin/python3\n",
                "usr/lib/systemd/systemd-networkd": program,
                "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": Link(
                    "/lib/systemd/system/systemd-networkd.service"
                ),
            }
        case "networkmanager":
            text = "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n"
            return {
                "etc/NetworkManager/system-connections/eth0.nmconnection": text,
                "usr/sbin/NetworkManager": program,
                "etc/systemd/system/multi-user.target.wants/NetworkManager.service": Link(
                    "/usr/lib/systemd/system/NetworkManager.service"
                ),
            }
        case "initscripts":
            text = 'DEVICE="eth0"\nBOOTPROTO="dhcp"\nONBOOT="yes"\nTYPE="Ethernet"\n'
            return {"etc/sysconfig/network-scripts/ifcfg-eth0": text, "usr/sbin/dhclient": program}
        case "wicked":
            text = "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"
            return {
                "etc/sysconfig/network/ifcfg-eth0": text,
                "usr/sbin/wickedd-dhcp4": program,
                "usr/sbin/wicked": program,
            }
        case "networkd":
            text = "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n"
            return {"etc/systemd/network/10-eth0.network": text, "usr/lib/systemd/systemd-networkd": program}
    raise ValueError(f"no network configuration called {kind}")


def base(system: System) -> Tree:
    """What every distribution has; merged /usr."""
    version, program = system.kernel, elf(system.arch)
    modules = f"usr/lib/modules/{version}"
    tree: Tree = {
        "usr/lib/os-release": _os_release(system.release),
        "etc/os-release": Link("../usr/lib/os-release"),
        "etc/hostname": f"{system.hostname}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {system.hostname}\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nops:x:1000:1000:Operations:/home/ops:/bin/bash\n",
        "etc/fstab": f"{system.root} / {system.root_type} defaults 0 1\n{system.fstab}",
        "etc/ssh/sshd_config": "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM yes\n",
        "etc/systemd/system/multi-user.target.wants/sshd.service": Link("/usr/lib/systemd/system/sshd.service"),
        "usr/lib/systemd/system/sshd.service": "[Unit]\nDescription=OpenSSH server daemon\n",
        f"{modules}/modules.dep": "".join(f"{driver}:\n" for driver in system.drivers),
        f"{modules}/modules.builtin": "kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio.ko\n",
        "home/ops/.ssh/authorized_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoDemoDemoDemoDemo ops\n",
        "bin": Link("usr/bin"),
        "sbin": Link("usr/sbin"),
        "lib": Link("usr/lib"),
        "var/log/wtmp": b"",
    }
    tree |= {f"usr/bin/{name}": program for name in ("bash", "ls", "vmtoolsd")}
    tree |= {f"usr/sbin/{name}": program for name in ("sshd", "init")}
    tree |= {f"{modules}/{driver}": elf(system.arch, kind=1) for driver in system.drivers}
    tree |= {name: Dir() for name in ("proc", "sys", "dev", "run", "tmp", "root", "mnt", "boot")}
    return tree | network(system.network)


def _grub2(system: System, image: str, ramdisk: str) -> str:
    return (
        "set default=0\nset timeout=5\n\n"
        f"menuentry '{system.release['PRETTY_NAME']}' --class gnu-linux --class os {{\n"
        f"  search --no-floppy --fs-uuid --set=root {system.boot_uuid or system.uuid}\n"
        f"  linux {system.boot}/{image} root={system.root} {system.cmdline}\n  initrd {system.boot}/{ramdisk}\n}}\n"
    )


def debian(system: System) -> Tree:
    """Debian and Ubuntu: /boot/grub/grub.cfg, initrd.img, ssh.service."""
    image, ramdisk = f"vmlinuz-{system.kernel}", f"initrd.img-{system.kernel}"
    tree = base(system)
    del tree["etc/systemd/system/multi-user.target.wants/sshd.service"], tree["usr/lib/systemd/system/sshd.service"]
    tree |= {
        "etc/systemd/system/multi-user.target.wants/ssh.service": Link("/lib/systemd/system/ssh.service"),
        "usr/lib/systemd/system/ssh.service": "[Unit]\nDescription=OpenBSD Secure Shell server\n",
        "etc/default/grub": f'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="{system.cmdline[3:]}"\n',
        "boot/grub/grub.cfg": _grub2(system, image, ramdisk),
        "boot/grub/grubenv": "# GRUB Environment Block\n".ljust(1024, "#"),
        f"boot/{image}": kernel(system.kernel, "debian-kernel@lists.debian.org"),
        f"boot/{ramdisk}": initramfs(system.kernel, system.drivers),
        f"boot/config-{system.kernel}": "CONFIG_XEN_BLKDEV_FRONTEND=m\nCONFIG_BLK_DEV_NVME=m\nCONFIG_ENA_ETHERNET=m\n",
        "var/lib/dpkg/status": "Package: base-files\nStatus: install ok installed\nVersion: 12.4+deb12u4\n",
    }
    return tree | system.files


def enterprise(system: System, *, bls: str | None = None, machine_id: str = "0123456789abcdef0123456789abcdef") -> Tree:
    """RHEL and its kin: /boot/grub2. With ``bls`` (the saved entry; empty: none) entries are Boot Loader Spec files."""
    image, ramdisk = f"vmlinuz-{system.kernel}", f"initramfs-{system.kernel}.img"
    tree = base(system) | {
        "etc/default/grub": f'GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="{system.cmdline[3:]}"\n',
        "boot/grub2/grub.cfg": _grub2(system, image, ramdisk),
        f"boot/{image}": kernel(system.kernel, "mockbuild@builder.example"),
        f"boot/{ramdisk}": initramfs(system.kernel, system.drivers),
    }
    if bls is not None:
        entry = f"{machine_id}-{system.kernel}"
        saved = f"saved_entry={bls.format(entry=entry)}\n" if bls else ""
        tree |= {
            "etc/default/grub": (
                f'GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX="{system.cmdline[3:]}"\n'
            ),
            "boot/grub2/grub.cfg": (
                "set pager=1\nif [ -s $prefix/grubenv ]; then\n  load_env\nfi\ninsmod blscfg\nblscfg\n"
            ),
            "boot/grub2/grubenv": f"# GRUB Environment Block\n{saved}".ljust(1024, "#"),
            f"boot/loader/entries/{entry}.conf": (
                f"title {system.release['PRETTY_NAME']}\nversion {system.kernel}\nlinux {system.boot}/{image}\n"
                f"initrd {system.boot}/{ramdisk}\noptions root={system.root} {system.cmdline}\ngrub_class kernel\n"
            ),
        }
    return tree | system.files


def suse(system: System) -> Tree:
    """SLES: like RHEL, with initrd and a kernel named after its flavour."""
    image, ramdisk = f"vmlinuz-{system.kernel}", f"initrd-{system.kernel}"
    return (
        base(system)
        | {
            "etc/SUSE-brand": "SLE\nVERSION = 15\n",
            "etc/default/grub": f'GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX_DEFAULT="{system.cmdline[3:]}"\n',
            "boot/grub2/grub.cfg": _grub2(system, image, ramdisk),
            f"boot/{image}": kernel(system.kernel, "geeko@buildhost"),
            f"boot/{ramdisk}": initramfs(system.kernel, system.drivers),
        }
        | system.files
    )


def legacy(system: System, *, drivers: tuple[str, ...] = OLD_DRIVERS) -> Tree:
    """CentOS 5 and its time: no os-release, no systemd, no merged /usr, GRUB Legacy."""
    program, version = elf(system.arch), system.kernel
    modules = f"lib/modules/{version}"
    tree: Tree = {
        "etc/redhat-release": "CentOS release 5.11 (Final)\n",
        "etc/fstab": f"LABEL=/ / ext3 defaults 1 1\n{system.fstab}",
        "etc/hostname": f"{system.hostname}\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "etc/inittab": "id:3:initdefault:\n",
        "etc/ssh/sshd_config": "Protocol 2\n",
        "etc/rc.d/rc3.d/S55sshd": Link("../init.d/sshd"),
        "etc/rc.d/init.d/sshd": "#!/bin/bash\n# chkconfig: 2345 55 25\n",
        "etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n",
        "boot/grub/grub.conf": (
            f"default=0\ntimeout=5\ntitle CentOS ({version})\n\troot (hd0,0)\n"
            f"\tkernel /boot/vmlinuz-{version} ro root=LABEL=/\n\tinitrd /boot/initrd-{version}.img\n"
        ),
        "boot/grub/menu.lst": Link("./grub.conf"),
        "etc/grub.conf": Link("../boot/grub/grub.conf"),
        f"boot/vmlinuz-{version}": kernel(version, "mockbuild@builder10.centos.org"),
        f"boot/initrd-{version}.img": initramfs(version, drivers),
        f"{modules}/modules.dep": "".join(f"/lib/modules/{version}/{driver}:\n" for driver in drivers),
    }
    tree |= dict.fromkeys(("bin/bash", "bin/ls", "sbin/init", "sbin/dhclient", "usr/sbin/sshd"), program)
    tree |= {f"{modules}/{driver}": elf(system.arch, kind=1) for driver in drivers}
    return tree | {name: Dir() for name in ("proc", "sys", "dev", "tmp", "root", "home", "var/log")} | system.files
