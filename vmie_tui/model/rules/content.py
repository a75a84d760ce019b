"""What the content of a machine's disks says about its import. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size
from vmie_tui.model.guest import FOREIGN, TITLES, GuestFacts, Presence, Volume
from vmie_tui.model.machine import Firmware
from vmie_tui.model.rules.content_linux import check_linux
from vmie_tui.model.rules.content_windows import check_windows

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below

# The guides do not give AWS's words for these two.
NO_PARTITIONS = "ClientError: No valid partitions"
ENCRYPTED = "ClientError: Unsupported configuration - encrypted volumes"

_EC2_SECTOR = 512  # bytes
_SLACK = 1 << 20  # bytes by which old tools let a last partition reach beyond the end of a disk


def check_content(
    guest: GuestFacts, *, firmware: Firmware | None = None, must_boot: bool = False
) -> tuple[Finding, ...]:
    """Everything to be said about a guest, worst first; what was not inspected is said as information.

    ``firmware``: the machine's, None when only its disks are known. ``must_boot``: a disk with a system is expected.
    """
    found = [
        *_tables(guest),
        *_volumes(guest),
        *_systems(guest, must_boot),
        *_grub(guest),
        *(check_linux(guest.linux, dirty=_dirty(guest, guest.linux.volume)) if guest.linux else ()),
        *_loader(guest, firmware),
        *_root_place(guest),
        *(check_windows(guest.windows) if guest.windows else ()),
        *_not_inspected(guest),
    ]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _dirty(guest: GuestFacts, name: str) -> bool:
    return any(volume.name == name and volume.dirty for volume in guest.volumes)


def _tables(guest: GuestFacts) -> Iterator[Finding]:
    for disk in guest.disks:
        name = f"disk {disk.number + 1}"
        if disk.number and disk.blank:
            yield Finding(I, "it is empty", name, "Its first 64 KiB are zeros", fact="F105", rule="blank-disk")
        elif disk.problem:
            yield Finding(
                W if disk.number else B, "it has no valid partitions", name,
                f"VM import finds nothing to work on: {disk.problem}",
                NO_PARTITIONS,
                "Repair its partition table (gdisk), or leave the disk out" if "GPT" in disk.problem else
                "Check that this is the whole disk of a machine, and not a backup or another format; "
                "or leave the disk out", "F105", "no-valid-partitions",
            )  # fmt: skip
        if disk.sector != _EC2_SECTOR:
            yield Finding(
                B, f"its partition table is for sectors of {disk.sector} bytes", name,
                f"Volumes on EC2 have sectors of {_EC2_SECTOR} bytes: nothing on it would be found there",
                NO_PARTITIONS, "Copy the system to a disk with sectors of 512 bytes (or 512e), and take that", "F105",
                "native-sectors",
            )  # fmt: skip
        if disk.backup:
            yield Finding(
                W, "the first copy of its partition table is damaged", name, "Only the copy at its end is good",
                NO_PARTITIONS, "Write the table anew (gdisk: command w)", "F105", "gpt-damaged",
            )  # fmt: skip
        beyond = max((part.offset + part.size - disk.size for part in disk.partitions), default=0)
        if beyond > _SLACK:
            yield Finding(
                B, f"its partitions reach {size(beyond)} beyond its end", name,
                "The disk or image was cut short, or its table belongs to a larger one", "",
                "Copy or export the whole disk again", "F105", "cut-short",
            )  # fmt: skip
        if disk.dynamic:
            yield Finding(
                B, "it is a Windows dynamic disk", name, "VM import does not read the Logical Disk Manager's volumes",
                NO_PARTITIONS, "Convert it to a basic disk", "F097", "dynamic-disk",
            )  # fmt: skip


def _volumes(guest: GuestFacts) -> Iterator[Finding]:
    for volume in guest.volumes:
        if volume.kind in {"luks", "bitlocker"}:
            yield Finding(
                B, f"it is encrypted with {TITLES[volume.kind]}", volume.name,
                "Encrypted volumes are not supported",
                ENCRYPTED, "Decrypt it in the guest; the AMI can be encrypted by EBS instead", "F112",
                "encrypted-volume",
            )  # fmt: skip
        elif volume.missing:
            yield Finding(
                B, f"part of the logical volume is on no disk ({', '.join(volume.missing)})", volume.name,
                "Its volume group cannot be activated", facts.error("E25")["message"],
                "Include all disks of the volume group, or reduce the group (vgreduce)", "F374", "lvm-missing-pv",
            )  # fmt: skip
        elif volume.kind in _CDS:
            first = not volume.disk
            yield Finding(
                B if first else W, f"it is a CD or DVD ({TITLES[volume.kind]}), not the disk of a machine",
                volume.name,
                "VM import finds no system to work on", NO_PARTITIONS,
                "Take the disk of the machine that was installed from it, or leave the disc out", "F105", "cd-image",
            )  # fmt: skip
        elif volume.kind in TITLES:
            yield Finding(
                W, f"{TITLES[volume.kind]} was not looked into", volume.name,
                _CONCERNS.get(volume.kind, "VM import is not documented to read it"), "",
                "Import the disk as a snapshot, or move what is needed to ext4, XFS or NTFS"
                if volume.kind in FOREIGN else "Check in the guest what is on it", "F105", f"{volume.kind}-volume",
            )  # fmt: skip
        elif volume.kind == "btrfs" and volume.subvolumes:
            yield Finding(
                B, f"it has {volume.subvolumes} Btrfs subvolume(s)", volume.name, "Btrfs subvolumes are not supported",
                "", "Move the system to a file system without subvolumes", "F107", "btrfs-subvolumes",
            )  # fmt: skip
        if volume.beyond:
            yield Finding(
                B, f"its file system reaches {size(volume.beyond)} beyond its end", volume.name,
                "The disk or image was cut short, or the volume was made smaller than its file system", "",
                "Copy or export the whole disk again", "F105", "cut-short",
            )  # fmt: skip
        if volume.suspended:
            yield Finding(
                W, "the memory of a hibernated Linux is in its swap space", volume.name,
                "Its file systems were not closed; it would resume with other hardware", "",
                "Start the machine, shut it down cleanly, and look again", "F133", "hibernated",
            )  # fmt: skip
        yield from _journal(volume)


_CDS = {"iso9660", "udf"}
_CONCERNS = {
    "jfs": "VM import takes JFS, but what is on it cannot be checked here",
    "mdraid": "VM import is not documented to assemble arrays",
    "refs": "VM import takes NTFS for Windows",
}


def _journal(volume: Volume) -> Iterator[Finding]:
    if volume.dirty:
        yield Finding(
            W, "it was not closed properly: its journal holds changes", volume.name,
            "What seems missing may wait there; AWS may not replay it", "",
            "Start the machine, shut it down cleanly, and look again", "F133", "journal-dirty",
        )  # fmt: skip


def _systems(guest: GuestFacts, must_boot: bool) -> Iterator[Finding]:
    if len(guest.roots) > 1:
        yield Finding(
            B, f"it has {len(guest.roots)} Linux systems", ", ".join(guest.roots),
            "Dual boot is not supported: VM import finds more than one /etc", facts.error("E26")["message"],
            "Leave one system, or split them over machines", "F375", "several-roots",
        )  # fmt: skip
    elif guest.roots and guest.windows:
        yield Finding(
            B, "it has a Linux and a Windows system", f"{guest.roots[0]}, {guest.windows.volume}",
            "Dual boot is not supported", facts.error("E26")["message"], "Leave one system", "F111", "dual-boot",
        )  # fmt: skip
    elif len(guest.windows_roots) > 1:
        disks = {volume.disk for volume in guest.volumes if volume.name in guest.windows_roots}
        # On another disk it may be one that was left there when the disk became a data disk.
        yield Finding(
            B if len(disks) == 1 else W, f"it has {len(guest.windows_roots)} Windows systems",
            ", ".join(guest.windows_roots), "Dual boot is not supported", "",
            "Leave one system, or delete the Windows folder of those that are not used", "F111", "dual-boot",
        )  # fmt: skip
    disc = any(volume.kind in _CDS and not volume.disk for volume in guest.volumes)
    if guest.linux or guest.windows or disc or _hidden(guest):
        return
    bootable = any(disk.boot_code or any(part.active for part in disk.partitions) for disk in guest.disks)
    known = facts.error("E15")
    if must_boot or bootable or guest.esp:
        yield Finding(
            B, "no operating system was found", "", "None of its volumes holds a system that is known",
            known["message"], "Check that the boot disk is there, and first", "F364", "unknown-os",
        )  # fmt: skip
    else:
        yield Finding(
            I, "it holds data, no operating system", "",
            f"As the only disk of an image it would fail: {known['message']}", "",
            "Import it as a snapshot, or together with its boot disk", "F364", "no-system",
        )  # fmt: skip


def _hidden(guest: GuestFacts) -> bool:
    """Whether a system may be where nothing was read, so that none found means nothing."""
    closed = {"btrfs", *TITLES} - FOREIGN
    unread = any(volume.kind in closed or volume.missing or volume.dirty for volume in guest.volumes)
    foreign = {f"the files on {volume.name}" for volume in guest.volumes if volume.kind in FOREIGN}
    failed = any(
        note.what.startswith(("the files on", "disk ", "the volume groups")) and note.what not in foreign
        for note in guest.not_inspected
    )
    return unread or failed or any(disk.problem or disk.dynamic for disk in guest.disks)


def _grub(guest: GuestFacts) -> Iterator[Finding]:
    if len({config.digest for config in guest.grub}) > 1:
        places = ", ".join(f"{config.volume}: {config.path}" for config in guest.grub)
        yield Finding(
            B, "it has several different boot loader configurations", places, "VM import cannot tell which one counts",
            facts.error("E05")["message"], "Leave one grub.cfg, grub.conf or menu.lst", "F355", "several-grub-configs",
        )  # fmt: skip


def _loader(guest: GuestFacts, firmware: Firmware | None) -> Iterator[Finding]:
    """EC2's firmware starts the fallback loader; without it only a BIOS boot path helps."""
    if guest.linux is None or guest.loader is Presence.PRESENT:
        return
    if firmware is not Firmware.UEFI and any(disk.bios_boot for disk in guest.disks):
        return
    if any(note.what.startswith("disk ") for note in guest.not_inspected):
        return  # what was not read may be what starts it
    if not guest.esp and firmware is not Firmware.UEFI:
        yield Finding(
            B, "nothing on its disks can start it", "",
            "It has neither boot code for a BIOS nor an EFI system partition", "",
            "Install the boot loader on the disk (grub-install)", "F138", "no-boot-path",
        )  # fmt: skip
    elif guest.loader is Presence.MISSING:
        from_grub = guest.linux.os_id == "debian" and guest.grub_loader is Presence.PRESENT
        yield LOADER_FROM_GRUB if from_grub else NO_LOADER


NO_LOADER = Finding(
    B, "EFI/BOOT/BOOTX64.EFI is missing", "EFI system partition", "EC2 starts Linux by UEFI through that file only", "",
    "Copy the distribution's loader there (grub-install --removable)", "F101", "no-bootx64",
)  # fmt: skip
# On the routes that import an image; on the others it is `NO_LOADER`.
LOADER_FROM_GRUB = Finding(
    I, "EFI/BOOT/BOOTX64.EFI is missing, and the import makes it", "EFI system partition",
    "Of Debian, AWS takes GRUBX64.EFI for it, when it imports an image", "", "", "F101", "bootx64-from-grub",
)  # fmt: skip


def _root_place(guest: GuestFacts) -> Iterator[Finding]:
    starts = [disk.number for disk in guest.disks if disk.boot_code]
    root = next((volume for volume in guest.volumes if guest.linux and volume.name == guest.linux.volume), None)
    if root is not None and starts and root.disk not in starts:
        yield Finding(
            W, f"the root file system is on disk {root.disk + 1}, its boot code on disk {starts[0] + 1}", root.name,
            "It may not boot when both are not on the same disk", "", "Move the root file system to the boot disk",
            "F113", "root-elsewhere",
        )  # fmt: skip


def _not_inspected(guest: GuestFacts) -> Iterator[Finding]:
    for note in guest.not_inspected:
        yield Finding(I, "not inspected", note.what, note.why, rule="not-inspected")
