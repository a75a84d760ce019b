"""What the files of a Linux system say about its import."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size
from vmie_tui.model.guest import Kernel, LinuxFacts, Presence
from vmie_tui.model.rules.supported_systems import check_kernel, check_listed, kernel_listed
from vmie_tui.model.rules.systems import Coverage, System, from_os_release

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
MISSING = Presence.MISSING
ROOM = 250 << 20
_DEVICE = re.compile(r"/dev/(?:sd|hd|vd|xvd)[a-z]|/dev/nvme\d|/dev/disk/by-(?:path|id)/(?!dm-|lvm-|md-)")
# systemd's names, and biosdevname's (em1, p2p1); a VLAN or an alias on top of one has it as well.
_PREDICTABLE = re.compile(r"(?:en[opsxd][0-9a-f]|enP\d|wl[opx]\d|eth\d{1,3}p\d|em\d|p\d{1,3}p\d)\w*(?:[.:@].*)?")
_DISABLED = {"cifs", "smbfs", "vboxsf", "sshfs", "fuse.sshfs", "nfs", "nfs4"}


def check_linux(linux: LinuxFacts, *, dirty: bool) -> Iterator[Finding]:
    """Findings about one system. ``dirty``: its file system's journal holds changes, so that its numbers are stale."""
    for rule in _RULES:
        yield from rule(linux)
    yield from _room(linux, dirty)


def _system(linux: LinuxFacts) -> Iterator[Finding]:
    if linux.release is MISSING:
        yield Finding(
            B, "no os-release or other release file says which system it is", linux.volume,
            "VM import must recognise the distribution", facts.error("E15")["message"],
            "Install the distribution's release package again", "F364", "unknown-os",
        )  # fmt: skip
        return
    if linux.release is not Presence.PRESENT:
        return
    name = linux.os_name or f"{linux.os_id} {linux.os_version}"
    system = _listed(linux)
    if system.coverage is Coverage.UNKNOWN:  # the disk says what it is, and AWS lists nothing like it
        system = replace(system, product=name, coverage=Coverage.OUTSIDE)
    yield from check_listed(system, name)
    if system.coverage is Coverage.OUTSIDE:
        return
    yield from _kernel_versions(linux, system)


def _listed(linux: LinuxFacts) -> System:
    """The system's place in the list; Debian tells its point release in a file of its own."""
    exact = linux.os_id == "debian" and linux.point_release[:1].isdigit()
    return from_os_release(linux.os_id, linux.point_release if exact else linux.os_version)


def _kernel_versions(linux: LinuxFacts, system: System) -> Iterator[Finding]:
    kernels = linux.kernels or ()
    strange = [kernel.version for kernel in kernels if kernel_listed(system, kernel.version) is False]
    if kernels and len(strange) == len(kernels):
        yield from check_kernel(system, strange[0], linux.os_name)
    elif strange:
        yield Finding(
            I, f"of its kernels {', '.join(strange)} are not listed", linux.os_name, "Another one that is installed is",
            "", "Make sure that a listed kernel is the default", "F376", "further-kernels",
        )  # fmt: skip


def _processor(linux: LinuxFacts) -> Iterator[Finding]:
    if linux.elf is None or linux.elf == "x86_64":
        return
    known = linux.elf in {"i386", "arm64"}
    yield Finding(
        B, f"its programs are for {linux.elf}", linux.volume, "VM import takes Linux for 64-bit x86 only", "",
        "Move the application to a 64-bit x86 system", "F043" if linux.elf == "arm64" else "IC12",
        linux.elf if known else "architecture",
    )  # fmt: skip


def _fstab(linux: LinuxFacts) -> Iterator[Finding]:
    message = facts.error("E22")["message"]
    if linux.fstab is MISSING:
        yield Finding(
            B, "/etc/fstab is missing", linux.volume, "VM import reads it to find the file systems", message,
            "Restore it, with UUIDs", "F371", "no-fstab",
        )  # fmt: skip
    named = []
    for line in linux.fstab_lines:
        if line.problem:
            yield Finding(
                B, f"/etc/fstab line {line.number} is not valid: {line.problem}", line.text,
                "VM import may not read the file", message, "Correct the line or comment it out", "F371",
                "fstab-invalid",
            )  # fmt: skip
        elif _DEVICE.match(line.spec):
            named.append(line.spec)
        elif line.type in _DISABLED:
            yield Finding(
                I, f"the import will disable the mount {line.mount}", line.text,
                f"{line.type} is not a local file system", "", "Enable it again afterwards", "F226", "fstab-network",
            )  # fmt: skip
    if named:
        yield Finding(
            W, "/etc/fstab uses device names", ", ".join(named),
            "Disks have other names on EC2; the import rewrites them", "", "Use UUID= instead", "F140",
            "fstab-device-names",
        )  # fmt: skip


def _kernels(linux: LinuxFacts) -> Iterator[Finding]:
    if linux.kernels is None:
        return
    if not linux.kernels:
        yield Finding(
            B, "no kernel was found in /boot", linux.volume, "There is nothing to start", facts.error("E27")["message"],
            "Install the distribution's kernel, or include the disk that /boot is on", "F376", "no-kernel",
        )  # fmt: skip
        return
    yield from _ramdisk(linux.kernels[0])
    if linux.elf in {None, "x86_64"}:  # another processor is refused anyway
        yield from _drivers(linux.kernels[0])


def _ramdisk(kernel: Kernel) -> Iterator[Finding]:
    message, remedy = facts.error("E24")["message"], "Build it anew (update-initramfs -u, dracut -f) and check it"
    if kernel.ramdisk is MISSING:
        yield Finding(
            B, f"there is no initramfs for kernel {kernel.version}", kernel.path,
            "VM import reads it to see which drivers there are", message, remedy, "F373", "initramfs-missing",
        )  # fmt: skip
    elif kernel.ramdisk is Presence.PRESENT and kernel.format == "":
        yield Finding(
            B, "the initramfs cannot be read", kernel.ramdisk_path, "It is neither cpio nor any compression of it",
            message, remedy, "F373", "initramfs-unreadable",
        )  # fmt: skip


def _drivers(kernel: Kernel) -> Iterator[Finding]:
    if kernel.modules is MISSING:
        yield Finding(
            W, f"kernel {kernel.version} has no list of modules", "/lib/modules",
            "Whether it has drivers for EC2's disks and network cannot be told", "",
            "Install the kernel's modules (depmod -a)", "F126", "no-modules",
        )  # fmt: skip
    lacking = [name for name, state in kernel.drivers.items() if state is MISSING]
    if lacking:
        yield Finding(
            W, f"kernel {kernel.version} lacks the driver(s) {', '.join(lacking)}", "/lib/modules",
            "Nitro instances need nvme and ena, older ones xen-blkfront", "",
            "Install the NVMe and ENA drivers before the export", "F126", "no-drivers",
        )  # fmt: skip


def _boot_entries(linux: LinuxFacts) -> Iterator[Finding]:
    bls = linux.bls
    if bls is None or bls.saved is None:
        return
    if bls.saved in bls.entries or (bls.saved.isdigit() and int(bls.saved) < len(bls.entries)):
        return
    why = f"saved_entry is {bls.saved}, which is not in /boot/loader/entries" if bls.saved else "saved_entry is empty"
    yield Finding(
        B, "the default kernel will likely not be found", "/boot/grub2/grubenv", why, facts.error("E23")["message"],
        "Set the default anew (grubby --set-default, grub2-set-default)", "F372", "bls-saved-entry",
    )  # fmt: skip


def _network(linux: LinuxFacts) -> Iterator[Finding]:
    predictable = sorted({nic.name for nic in linux.nics if _PREDICTABLE.fullmatch(nic.name)})
    if predictable:
        yield Finding(
            W, "the network is configured for predictable interface names", ", ".join(predictable),
            "On EC2 the interface has another name", "", "Configure eth0 (net.ifnames=0), or match any interface",
            "F127", "predictable-nic",
        )  # fmt: skip
    static = sorted({nic.name for nic in linux.nics if nic.static})
    if static:
        yield Finding(
            W, "an address is set by hand", ", ".join(static), "Static addresses are removed at import", "",
            "Switch the interface to DHCP", "F132", "static-ip",
        )  # fmt: skip
    if linux.dhcp is MISSING:
        yield Finding(
            B, "no DHCP client was found", linux.volume, "The instance gets its address by DHCP only", "",
            "Install and enable one", "F131", "no-dhcp",
        )  # fmt: skip


def _remote(linux: LinuxFacts) -> Iterator[Finding]:
    if linux.sshd is MISSING:
        yield Finding(
            B, "no SSH server was found", linux.volume, "The instance could not be reached", "",
            "Install and enable sshd", "F134", "no-sshd",
        )  # fmt: skip
    elif linux.sshd_enabled is MISSING:
        yield Finding(
            W, "the SSH server does not start by itself", linux.volume, "The instance could not be reached", "",
            "Enable it (systemctl enable)", "F134", "sshd-disabled",
        )  # fmt: skip
    if linux.vmware_tools is Presence.PRESENT:
        yield Finding(
            I, "VMware Tools are installed", linux.volume, "AWS advises to remove them", "",
            "Remove them before the last copy", "F129", "vmware-tools",
        )  # fmt: skip


def _room(linux: LinuxFacts, dirty: bool) -> Iterator[Finding]:
    if linux.free is not None and linux.free < ROOM:
        yield Finding(
            W if dirty else B, f"{size(linux.free)} are free on the root file system",
            linux.volume, f"VM import wants {ROOM >> 20} MiB for drivers and software", "", "Make room", "F122",
            "low-space",
        )  # fmt: skip


_RULES: tuple[Callable[[LinuxFacts], Iterator[Finding]], ...] = (
    _system,
    _processor,
    _fstab,
    _kernels,
    _boot_entries,
    _network,
    _remote,
)
