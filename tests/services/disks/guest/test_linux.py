"""What is read from the configuration of a Linux system: release files, fstab, networks, boot entries, drivers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kits.guest_files import tree
from vmie_tui.model.guest import BootEntries, LinuxFacts, Presence
from vmie_tui.services.disks.guest.linux import grub_configs, inspect_linux, is_root, loader_roots, mounts

YES, NO = Presence.PRESENT, Presence.MISSING


def look(files: dict[str, Any]) -> LinuxFacts:
    return inspect_linux(tree(**files)[0], "root", None, ())


@pytest.mark.parametrize(
    ("files", "ident", "version"),
    [
        ({"/etc/os-release": 'NAME="x"\nID="rhel"\nVERSION_ID="9.4"\n'}, "rhel", "9.4"),
        ({"/usr/lib/os-release": "ID=fedora\nVERSION_ID=39\n"}, "fedora", "39"),
        ({"/etc/redhat-release": "CentOS release 6.10 (Final)\n"}, "centos", "6.10"),
        ({"/etc/redhat-release": "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n"}, "rhel", "5.11"),
        (
            {"/etc/oracle-release": "Oracle Linux Server release 6.9\n", "/etc/redhat-release": "x release 6.9"},
            "ol",
            "6.9",
        ),
        (
            {"/etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 3\n"},
            "sles",
            "11.3",
        ),
        (
            {"/etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 0\n"},
            "sles",
            "11",
        ),
        ({"/etc/debian_version": "6.0.8\n"}, "debian", "6.0.8"),
    ],
)
def test_release_files_old_and_new(files: dict[str, str], ident: str, version: str) -> None:
    found = look(files)
    assert (found.release, found.os_id, found.os_version) == (YES, ident, version)


def test_no_release_file() -> None:
    assert look({"/etc/passwd": "root"}).release is NO


def test_a_separate_usr_is_no_second_root() -> None:
    assert is_root(tree(**{"/sbin/init": "x", "/lib/os-release": "ID=x"})[0]) is NO
    assert is_root(tree(**{"/etc/fstab": ""})[0]) is YES


def test_fstab_lines() -> None:
    text = (
        "# a comment\n\nUUID=1 / ext4 defaults 0 1  # not a comment for fstab\n/dev/sdb1 /srv\nx y ext4\nz none swap\n"
    )
    found = look({"/etc/fstab": text})
    assert [(line.number, line.mount, bool(line.problem)) for line in found.fstab_lines] == [
        (3, "/", False), (4, "/srv", True), (5, "y", True), (6, "none", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text", "nics"),
    [
        ("/etc/network/interfaces", "iface lo inet loopback\niface eth0 inet dhcp\n", [("eth0", False)]),
        ("/etc/network/interfaces", "auto ens3\n  iface ens3 inet static\n address 10.0.0.1\n", [("ens3", True)]),
        ("/etc/netplan/01.yaml", "network:\n  ethernets:\n    ens160:\n      dhcp4: true\n", [("ens160", False)]),
        (
            "/etc/netplan/01.yaml",
            "network:\n  ethernets:\n    eth0:\n      addresses:\n        - 10.0.0.1/24\n",
            [("eth0", True)],
        ),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", 'DEVICE="eth0"\nBOOTPROTO="dhcp"\n', [("eth0", False)]),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", "BOOTPROTO=none\nIPADDR=10.0.0.1\n", [("eth0", True)]),
        ("/etc/sysconfig/network/ifcfg-eth1", "BOOTPROTO='static'\n", [("eth1", True)]),
        ("/etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\nIPADDR=127.0.0.1\n", []),
        (
            "/etc/NetworkManager/system-connections/a.nmconnection",
            "[connection]\ninterface-name=ens192\n\n[ipv4]\nmethod=manual\n\n[ipv6]\nmethod=auto\n",
            [("ens192", True)],
        ),
        (
            "/etc/NetworkManager/system-connections/a.nmconnection",
            "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=auto\n[ipv6]\nmethod=manual\n",
            [("eth0", False)],
        ),
        ("/etc/systemd/network/10.network", "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.1/8\n", [("eth0", True)]),
    ],
)
def test_networks(path: str, text: str, nics: list[tuple[str, bool]]) -> None:
    assert [(nic.name, nic.static) for nic in look({path: text}).nics] == nics


ENTRIES = {"/boot/loader/entries/a.conf": "title A\n", "/boot/loader/entries/notes.txt": "no entry"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/boot/grub2/grub.cfg": "menuentry 'x' {\n}\n"}, None),
        ({**ENTRIES, "/boot/grub2/grubenv": "# GRUB\nsaved_entry=a\n"}, BootEntries(("a",), "a")),
        ({**ENTRIES, "/boot/grub2/grubenv": "# GRUB\nsaved_entry=a.conf\n"}, BootEntries(("a",), "a")),
        ({**ENTRIES, "/boot/grub2/grubenv": "# GRUB\nsaved_entry=\n"}, BootEntries(("a",), "")),
        ({**ENTRIES, "/boot/grub2/themes/x": ""}, BootEntries(("a",), "")),
        ({**ENTRIES, "/boot/efi/EFI/redhat/grub.cfg": "blscfg\n"}, BootEntries(("a",), "")),
        ({**ENTRIES, "/boot/loader/loader.conf": "default a\n"}, None),  # systemd-boot
        ({**ENTRIES, "/boot/extlinux/extlinux.conf": "x"}, None),
        ({"/boot/grub2/grub.cfg": "insmod blscfg\nblscfg\n"}, BootEntries((), "")),
    ],
)
def test_boot_entries(files: dict[str, str], expected: BootEntries | None) -> None:
    assert look(files).bls == expected


def test_kernels_newest_first_with_their_initramfs_and_drivers() -> None:
    modules = "/usr/lib/modules/5.14.0-427.el9.x86_64"
    found = look({
        "/lib": "->usr/lib",
        "/boot/vmlinuz-5.14.0-70.el9.x86_64": "MZ",
        "/boot/vmlinuz-5.14.0-427.el9.x86_64": "MZ",
        "/boot/vmlinuz-0-rescue-0123": "MZ",
        "/boot/initramfs-5.14.0-427.el9.x86_64.img": b"\x28\xb5\x2f\xfd0000",
        f"{modules}/modules.dep": "x" * 300_000 + "\nkernel/drivers/net/ethernet/amazon/ena/ena.ko.xz:\n",
        f"{modules}/modules.builtin": "kernel/drivers/nvme/host/nvme.ko\n",
    }).kernels  # fmt: skip
    assert found is not None
    [newest] = found  # the older one has neither modules nor an initramfs, and no boot entry: it is a file left behind
    assert (newest.version, newest.ramdisk, newest.format) == ("5.14.0-427.el9.x86_64", YES, "zstd")
    assert newest.drivers == {"nvme": YES, "ena": YES, "xen-blkfront": NO}


VERSION = "5.14.21-150500.55.7-default"


@pytest.mark.parametrize(
    ("files", "versions"),
    [
        ((f"vmlinuz-{VERSION}", f"vmlinux-{VERSION}.gz", f"symvers-{VERSION}.gz", f"initrd-{VERSION}"), [VERSION]),
        ((f"vmlinuz-{VERSION}.efi.signed", f"vmlinuz-{VERSION}", f"initrd.img-{VERSION}"), [VERSION]),
        ((f"vmlinuz-{VERSION}.signed", f"initrd.img-{VERSION}"), [VERSION]),
        ((f"vmlinux-{VERSION}.xz", f"initrd-{VERSION}"), [VERSION]),
        ((f"vmlinuz-{VERSION}", f".vmlinuz-{VERSION}.hmac", f"vmlinuz-{VERSION}.hmac"), [VERSION]),
        ((f"vmlinuz-{VERSION}", "vmlinuz-9.9.9-left-behind", f"initrd-{VERSION}"), [VERSION]),
        ((f"vmlinuz-{VERSION}", f"vmlinuz-{VERSION}.old", "vmlinuz", "vmlinuz.old"), [VERSION]),
        ((f"bzImage-{VERSION}",), [VERSION]),
        ((f"kernel-genkernel-x86_64-{VERSION}", f"initramfs-genkernel-x86_64-{VERSION}"), [VERSION]),
        ((f"Image-{VERSION}", f"initrd-{VERSION}"), [VERSION]),
        (("vmlinuz-linux", "initramfs-linux.img", "initramfs-linux-fallback.img"), ["linux"]),
        (("vmlinuz-lts", "initramfs-lts"), ["lts"]),
        (("vmlinuz-0-rescue-0123456789abcdef",), []),
        ((f"config-{VERSION}", f"System.map-{VERSION}"), []),
    ],
)
def test_kernels_by_the_names_that_distributions_give_them(files: tuple[str, ...], versions: list[str]) -> None:
    found = look({f"/boot/{name}": "MZ" for name in files})
    assert found.kernels is not None
    assert [kernel.version for kernel in found.kernels] == versions
    ramdisks = [name for name in files if name.startswith(("init",))]
    assert all(kernel.ramdisk is (YES if ramdisks else NO) for kernel in found.kernels)


def test_a_kernel_with_only_a_boot_entry_counts_and_one_with_nothing_does_not() -> None:
    entry = {"/boot/grub2/grub.cfg": "linux /vmlinuz-6.2.0 root=/dev/sda1\n"}
    found = look({"/boot/vmlinuz-6.2.0": "MZ", "/boot/vmlinuz-6.3.0": "MZ", **entry}).kernels
    assert [kernel.version for kernel in found or ()] == ["6.2.0"]
    assert [kernel.version for kernel in look({"/boot/vmlinuz-6.3.0": "MZ"}).kernels or ()] == ["6.3.0"]


def test_unified_kernels_and_those_of_kernel_install() -> None:
    machine = "0123456789abcdef" * 2
    unified = look({f"/boot/efi/EFI/Linux/{machine}-6.8.0-1.efi": "MZ", "/lib/modules/6.8.0-1/modules.dep": ""}).kernels
    assert unified is not None
    assert [(one.version, one.ramdisk, one.modules) for one in unified] == [("6.8.0-1", YES, YES)]
    folder = f"/efi/{machine}/6.8.0-2"
    installed = look({f"{folder}/linux": "MZ", f"{folder}/initrd": b"\x28\xb5\x2f\xfd0000"}).kernels
    assert installed is not None
    assert [(one.version, one.ramdisk, one.format) for one in installed] == [("6.8.0-2", YES, "zstd")]


@pytest.mark.parametrize("name", ["vmlinuz", "bzImage", "kernel", "ostree/fedora-1/vmlinuz-6.1"])
def test_kernels_that_tell_no_version_are_unknown(name: str) -> None:
    assert look({f"/boot/{name}": "MZ"}).kernels is None


def test_grubenv_that_leads_nowhere_is_unknown() -> None:
    files = {**ENTRIES, "/boot/grub2/grubenv": "->../efi/EFI/redhat/grubenv"}
    assert look(files).bls == BootEntries(("a",), None)
    files["/boot/efi/EFI/redhat/grubenv"] = "# GRUB\nsaved_entry=a\n"
    assert look(files).bls == BootEntries(("a",), "a")
    direct = {**ENTRIES, "/boot/efi/EFI/fedora/grubenv": "saved_entry=b.conf\n"}
    assert look(direct).bls == BootEntries(("a",), "b")


def test_what_boot_loaders_call_the_root() -> None:
    files = {
        "/boot/grub/grub.cfg": "set root='hd0'\n linux /vmlinuz root=UUID=1 ro\n linux /x root=$root nfsroot=/y\n",
        "/loader/entries/a.conf": "options root=/dev/mapper/vg-root ro\n",
        "/grub2/grubenv": "kernelopts=root=LABEL=r ro\n",
        "/boot/grub/menu.lst": 'kernel /vmlinuz root="PARTUUID=2"\n',
    }
    assert set(loader_roots(tree(**files)[0])) == {"UUID=1", "/dev/mapper/vg-root", "LABEL=r", "PARTUUID=2"}


def test_mount_points_by_fstab_and_by_units() -> None:
    files = {
        "/etc/fstab": "UUID=1 / ext4 defaults 0 1\nLABEL=my\\040boot /boot/ ext4 defaults 0 2\n/dev/sdb1 /usr\n",
        "/etc/systemd/system/usr.mount": "[Mount]\nWhat = /dev/vg/usr\nWhere=/usr\n",
        "/etc/systemd/system/boot.mount": "[Mount]\nWhat=/dev/sdz1\nWhere=/boot\n",
    }
    assert mounts(tree(**files)[0]) == {"/boot": "LABEL=my boot", "/usr": "/dev/vg/usr"}


def test_sshd_by_systemd_upstart_and_run_levels() -> None:
    server = {"/usr/sbin/sshd": "x"}
    for path in (
        "/etc/systemd/system/multi-user.target.wants/ssh.service",
        "/etc/systemd/system/sockets.target.wants/ssh.socket",
        "/etc/rc.d/rc3.d/S55sshd",
        "/etc/init/ssh.conf",
    ):
        found = look({**server, path: "x"})
        assert (found.sshd, found.sshd_enabled) == (YES, YES), path
    assert look(server).sshd_enabled is NO
    assert look({"/etc/passwd": ""}).sshd is NO


def test_a_boot_configuration_behind_a_link_counts_once() -> None:
    files = {"/boot/grub/grub.conf": "default=0", "/boot/grub/menu.lst": "->./grub.conf", "/grub/grub.cfg": "other"}
    found = grub_configs(tree(**files)[0], "root")
    assert [config.path for config in found] == ["/grub/grub.cfg", "/boot/grub/grub.conf"]
    assert len({config.digest for config in found}) == 2
