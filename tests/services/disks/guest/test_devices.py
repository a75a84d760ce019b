"""Every way a guest may name a device leads to one volume, or to none; and none never makes a blocker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kits.guest_files import Fake
from vmie_tui.model.finding import Severity
from vmie_tui.model.guest import GuestFacts, NotInspected, Volume
from vmie_tui.model.rules.content import check_content
from vmie_tui.services.disks.guest.devices import by_place, named, unescape
from vmie_tui.services.disks.guest.filesystems import FileSystem
from vmie_tui.services.disks.guest.inspect import find_linux
from vmie_tui.services.disks.guest.volumes import Found

BOOT, ROOT = "2222aaaa-2222-4222-8222-222222222222", "1111aaaa-1111-4111-8111-111111111111"
PART = "4444bbbb-4444-4444-8444-444444444444"
VERSION = "5.15.0-91-generic"
ROOT_FILES = {
    "/etc/os-release": 'ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04"\n',
    f"/lib/modules/{VERSION}/modules.dep": "/nvme.ko /ena.ko /xen-blkfront.ko",
    f"/lib/modules/{VERSION}/modules.builtin": "",
    "/usr/sbin/sshd": "x", "/etc/init/ssh.conf": "x", "/sbin/dhclient": "x", "/bin/ls": "x",
    "/boot/.keep": "",
}  # fmt: skip
BOOT_FILES = {f"/vmlinuz-{VERSION}": "MZ", f"/initrd.img-{VERSION}": "070701", "/grub/grub.cfg": f"root=UUID={ROOT}"}


def system(files: dict[str, str], kind: str = "ext4") -> FileSystem:
    return FileSystem(kind, lambda: Fake({path: text.encode() for path, text in files.items()}))


def volume(
    name: str, files: dict[str, str] | None, *, uuid: str = "", label: str = "", disk: int = 0, partition: int = 0,
    partuuid: str = "", partlabel: str = "", mapped: str = "", kind: str = "ext4", esp: bool = False,
) -> Found:  # fmt: skip
    return Found(
        Volume(name, kind, 1 << 29, disk, uuid, label), None, partition, esp=esp, partuuid=partuuid,
        partlabel=partlabel, mapped=mapped, system=None if files is None else system(files, kind),
    )  # fmt: skip


def machine(boot: str, *, where: dict[str, str] | None = None) -> list[Found]:
    """A root, its /boot, and a copy of that on a second disk, as fstab's line for /boot has it."""
    fstab = f"UUID={ROOT} / ext4 defaults 0 1\n{boot} /boot ext4 defaults 0 2\n"
    return [
        volume("disk 1 partition 2", BOOT_FILES if where is None else where, uuid=BOOT, label="my boot/é", partition=2,
               partuuid=PART, partlabel="boot part"),
        volume("disk 1 partition 3", {**ROOT_FILES, "/etc/fstab": fstab}, uuid=ROOT, partition=3),
        volume("disk 2 partition 1", {**BOOT_FILES, "/grub/grub.cfg": "root=UUID=0"}, uuid="0", disk=1, partition=1),
        volume("disk 2 partition 5", {}, uuid="A1B2-C3D4", disk=1, partition=5, kind="fat"),
    ]  # fmt: skip


def looked(found: list[Found]) -> tuple[GuestFacts, list[NotInspected]]:
    missed: list[NotInspected] = []
    linux, roots = find_linux(found, (), missed)
    return GuestFacts((), tuple(one.volume for one in found), roots, linux, not_inspected=tuple(missed)), missed


def blockers(guest: GuestFacts) -> set[str]:
    found = {each.rule for each in check_content(guest) if each.severity is Severity.BLOCKER}
    return found - {"no-boot-path"}  # these machines have no partition tables


@pytest.mark.parametrize(
    "spec",
    [
        f"UUID={BOOT}", f'UUID="{BOOT}"', f"UUID='{BOOT}'", f"UUID={BOOT.upper()}", f"/dev/disk/by-uuid/{BOOT}",
        r"LABEL=my\040boot/é", r'LABEL="my\040boot/é"', r"/dev/disk/by-label/my\x20boot\x2f\xc3\xa9",
        f"PARTUUID={PART}", f"PARTUUID={PART.upper()}", f"/dev/disk/by-partuuid/{PART}", f'PARTUUID="{PART}"',
        r"PARTLABEL=boot\040part", r"/dev/disk/by-partlabel/boot\x20part", "/dev/sda2", "/dev/hda2", "/dev/vda2",
        "/dev/xvda2", "/dev/nvme0n1p2", "/dev/mmcblk0p2", "/dev/disk/by-id/wwn-0x6000c29-part2",
        "/dev/disk/by-id/scsi-36000c290000000-part2", "ID=wwn-0x6000c29-part2",
        "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part2", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part2",
        "/dev/mapper/mpatha-part2", "/dev/mapper/mpatha2",
    ],
)  # fmt: skip
def test_a_separate_boot_is_found_by_each_of_its_names(spec: str) -> None:
    assert named(unescape(spec), machine(spec)) == [0]
    guest, missed = looked(machine(spec))
    assert guest.linux is not None
    assert [kernel.version for kernel in guest.linux.kernels or ()] == [VERSION]
    assert not [note for note in missed if "boot" in note.what]
    assert blockers(guest) == set()
    assert looked(machine(spec, where={}))[0].linux is not None


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("/dev/sdb1", [2]), ("/dev/vdb5", [3]), ("/dev/nvme0n2p1", [2]), ("/dev/nvme1n1p1", [2]), ("/dev/xvdb1", [2]),
        ("UUID=a1b2-c3d4", [3]), ("UUID=A1B2-C3D4", [3]), ("/dev/disk/by-uuid/A1B2-C3D4", [3]),
        ("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1", [2]),
        ("/dev/sda9", []), ("/dev/sdaa1", []), ("UUID=", []), ('LABEL=""', []), ("PARTUUID=", []), ("/dev/sda", []),
        ("/dev/dm-0", []), ("/dev/md0", []), ("/dev/md/boot", []), ("/dev/disk/by-id/md-name-host:0", []),
        ("/dev/disk/by-id/lvm-pv-uuid-x", []), ("/dev/disk/azure/root-part1", []), ("/dev/root", []), ("sda2", []),
        ("tmpfs", []), ("nas:/export", []), ("//nas/share", []), ("/dev/./sdb1", [2]),
        ("rpool/ROOT/debian", []), ("", []), ("UUID", []),
        (f"LABEL={BOOT}", []), (f"SOMETHING={BOOT}", []), ("LABEL=MY BOOT/é", []),
    ],
)  # fmt: skip
def test_what_other_names_mean(spec: str, place: list[int]) -> None:
    assert named(spec, machine("x")) == place


@pytest.mark.parametrize(
    "spec",
    [
        "/dev/vg-a/lv-boot", "/dev/mapper/vg--a-lv--boot", "/dev/disk/by-id/dm-name-vg--a-lv--boot",
        "/dev/disk/by-id/dm-uuid-LVM-groupvolume", f"UUID={BOOT}", "/dev//vg-a/lv-boot",
    ],
)  # fmt: skip
def test_logical_volumes_by_their_names(spec: str) -> None:
    found = [volume("vg-a/lv-boot", BOOT_FILES, uuid=BOOT, mapped="groupvolume"), volume("vg/a", {}, mapped="x")]
    assert named(spec, found) == [0]
    assert not by_place(spec)
    assert named("/dev/mapper/vg-a-lv-boot", found) == named("/dev/vg/lv", found) == []


UNRESOLVED = [
    f"UUID={BOOT[:-1]}9", "LABEL=gone", "PARTUUID=gone", "PARTLABEL=gone", "/dev/dm-3", "/dev/md0", "/dev/sdc1",
    "/dev/disk/by-uuid/gone", "/dev/disk/by-id/md-uuid-1", "/dev/disk/by-diskseq/1-part2", "/srv/boot", "nas:/boot",
]  # fmt: skip


@pytest.mark.parametrize("spec", UNRESOLVED)
def test_where_it_cannot_be_resolved_the_loader_tells_boot_or_it_is_unknown(spec: str) -> None:
    guest, missed = looked(machine(spec))
    assert guest.linux is not None
    assert [kernel.version for kernel in guest.linux.kernels or ()] == [VERSION]
    assert [note.what for note in missed if "boot" in note.what] == [f"/boot as {spec}"]
    both = machine(spec)
    both[0].system = system({**BOOT_FILES, "/grub/grub.cfg": "root=UUID=0"})  # neither says whose kernels it has
    for found in (both, both[1:2], [*both[1:2], replace(both[3])]):
        guest, missed = looked(found)
        assert guest.linux is not None
        assert guest.linux.kernels is None
        assert guest.linux.bls is None
        assert blockers(guest) == set()
        assert [note.what for note in missed if "boot" in note.what] == ["/boot"]


def test_a_boot_that_was_resolved_and_is_empty_is_a_blocker() -> None:
    guest, _ = looked(machine(f"UUID={BOOT}", where={"/lost+found/x": ""})[:2])
    assert blockers(guest) == {"no-kernel"}


def test_kernels_for_other_modules_are_no_boot_of_this_system() -> None:
    found = machine("LABEL=gone", where={"/vmlinuz-6.6.6": "MZ"})[:2]
    guest, _ = looked(found)
    assert guest.linux is not None
    assert guest.linux.kernels is None


def test_an_encrypted_or_unread_boot_is_unknown() -> None:
    found = machine(f"UUID={BOOT}")[:2]
    found[0].system = None
    guest, missed = looked(found)
    assert blockers(guest) == set()
    assert "/boot" in {note.what for note in missed}


def test_usr_that_was_not_found_hides_what_is_in_it() -> None:
    files = {**ROOT_FILES, **{f"/boot{path}": text for path, text in BOOT_FILES.items()}}
    del files["/sbin/dhclient"], files["/usr/sbin/sshd"]
    files["/etc/fstab"] = f"UUID={ROOT} / ext4 x 0 1\nLABEL=gone /usr xfs x 0 2\n"
    guest, missed = looked([volume("disk 1 partition 3", files, uuid=ROOT, partition=3)])
    assert blockers(guest) == set()
    assert [note.what for note in missed if "usr" in note.what] == ["/usr"]


@pytest.mark.parametrize("spec", ["UUID=A1B2-C3D4", "/dev/disk/by-uuid/A1B2-C3D4", "LABEL=gone", ""])
def test_grubenv_on_the_esp_is_found_also_where_only_one_can_be_meant(spec: str) -> None:
    entry = f"0123-{VERSION}"
    found = machine(f"UUID={BOOT}")[:2]
    boot = {**BOOT_FILES, "/grub2/grub.cfg": "blscfg", "/grub2/grubenv": "->../efi/EFI/redhat/grubenv",
            f"/loader/entries/{entry}.conf": "title x"}  # fmt: skip
    found[0].system = system(boot)
    assert found[1].system is not None
    fstab = f"UUID={ROOT} / ext4 x 0 1\nUUID={BOOT} /boot ext4 x 0 2\n" + (
        f"{spec} /boot/efi vfat x 0 0\n" if spec else ""
    )
    found[1].system = system({**ROOT_FILES, "/etc/fstab": fstab})
    esp = volume("disk 1 partition 1", {"/EFI/redhat/grubenv": f"# GRUB\nsaved_entry={entry}\n"}, uuid="A1B2-C3D4",
                 partition=1, kind="fat", esp=True)  # fmt: skip
    guest, _ = looked([esp, *found])
    assert guest.linux is not None
    assert guest.linux.bls is not None
    assert guest.linux.bls.saved == entry
    guest, _ = looked(found)  # the disk with the ESP was not given
    assert blockers(guest) == set()


def test_of_two_systems_the_one_that_the_loader_names_is_judged() -> None:
    found = machine(f"UUID={BOOT}")
    found.insert(0, volume("disk 1 partition 1", {**ROOT_FILES, "/etc/fstab": ""}, uuid="other", partition=1))
    guest, _ = looked(found)
    assert guest.linux is not None
    assert guest.linux.volume == "disk 1 partition 3"
    assert len(guest.roots) == 2


def test_copies_with_the_same_ids_mean_the_one_beside_the_root() -> None:
    found = machine(f"UUID={BOOT}")
    found[2].volume = replace(found[2].volume, uuid=BOOT)
    assert named(f"UUID={BOOT}", found) == [0, 2]
    guest, missed = looked(found)
    assert guest.linux is not None
    assert guest.linux.kernels
    assert not [note for note in missed if "boot" in note.what]
