"""The answer of a preflight: what was found, what was not looked at, the guest as seen, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size
from vmie_tui.model.guest import TITLES, DiskFacts, GuestFacts, Kernel, LinuxFacts, NotInspected, Presence, WindowsFacts
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import Route
from vmie_tui.model.preparation import Item, Tick, checklist, modifications, seen_on_disk, to_markdown
from vmie_tui.model.rules.content import LOADER_FROM_GRUB, NO_LOADER
from vmie_tui.model.rules.disks import BY_IMAGE
from vmie_tui.model.verdict import Look, State, Verdict, judge

NOT_INSPECTED = "not-inspected"
# What seems to be missing may be on a disk that was not read.
_PARTLY = {"lvm-missing-pv", "unknown-os", "no-kernel", "no-boot-path", "no-bootx64"}
_SYSPREP_DONE = 7


@dataclass(frozen=True, slots=True)
class DiskLook:
    """A disk whose content was read."""

    name: str
    format: str  # as `services.disks.formats.probe` names it
    size: int  # bytes of the disk


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a look at a machine or an image has found."""

    target: str  # a machine's path, a file, or s3://bucket/key
    findings: tuple[Finding, ...]  # worst first
    not_inspected: tuple[NotInspected, ...] = ()  # what was not looked at, and why
    machine: Machine | None = None
    guest: GuestFacts | None = None  # None when no content was read
    items: tuple[Item, ...] = ()
    changes: tuple[str, ...] = ()
    disks: tuple[DiskLook, ...] = ()
    requests: int = 0
    bytes_read: int = 0
    snapshot: str = ""  # our own, that the disks were read through, gone by now; "" when none was needed
    content: tuple[Finding, ...] = ()  # those of the findings that the disks gave

    @property
    def blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.BLOCKER)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)

    @property
    def look(self) -> Look:
        """How much was read. Where something is unread and no system was found, that may be where the system is."""
        if self.guest is None:
            return Look.NONE
        if self.guest.linux is None and self.guest.windows is None and self.not_inspected:
            return Look.PART if len(self.disks) > 1 else Look.NONE
        return Look.PART if any(note.disk for note in self.not_inspected) else Look.ALL

    def join(self, configuration: Sequence[Finding], route: Route = Route.IMAGE) -> tuple[Finding, ...]:
        """The findings of the configuration with those of the disks, as they count on ``route``; worst first."""
        return join_findings(configuration, for_route(self.content, route), self.guest)

    @property
    def judged(self) -> Verdict:
        return judge(self.findings, self.look)

    @property
    def verdict(self) -> State:
        return self.judged.state

    @property
    def windows(self) -> bool:
        """Whether the guest is a Windows, as far as is known."""
        if self.guest is not None and (self.guest.windows or self.guest.linux):
            return self.guest.windows is not None
        return self.machine is not None and self.machine.os_family.value.startswith("windows")

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "verdict": self.verdict.value,
            "looked": self.look.value,
            "findings": [finding.to_json() for finding in self.findings],
            "content_inspected": self.guest is not None,
            "not_inspected": [asdict(note) for note in self.not_inspected],
            "disks": [asdict(disk) for disk in self.disks],
            "guest": self.guest.to_json() if self.guest else None,
            "preparation": [asdict(item) for item in self.items],
            "aws_changes": list(self.changes),
            "requests": self.requests,
            "bytes_read": self.bytes_read,
            "snapshot": self.snapshot,
        }


def join_findings(
    configuration: Sequence[Finding], content: Sequence[Finding], guest: GuestFacts | None
) -> tuple[Finding, ...]:
    """Worst first; of two on the same fact, one from each side, what the disks say stays.

    Advice to check for a file that was seen in the ``guest`` is left out.
    """
    if guest is not None and guest.loader is Presence.PRESENT:
        configuration = [finding for finding in configuration if finding.rule != "efi-loader"]
    seen = {finding.fact for finding in content if finding.fact and finding.rule != NOT_INSPECTED}
    kept = [finding for finding in configuration if not finding.fact or finding.fact not in seen]
    both = [*kept, *(finding for finding in content if finding.rule != NOT_INSPECTED)]
    return tuple(sorted(both, key=lambda finding: -finding.severity))


def doubt_missing(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings when some disk was not read: what seems to be missing may be there."""
    return tuple(
        replace(finding, severity=Severity.WARNING, why="It may be on a disk that was not read", prevents="")
        if finding.rule in _PARTLY
        else finding
        for finding in findings
    )


def prepared(machine: Machine, guest: GuestFacts | None) -> tuple[Item, ...]:
    """The preparation checklist of a machine in vCenter."""
    return checklist(machine, seen=seen_on_disk(guest) if guest else None)


def prepared_image(name: str, guest: GuestFacts) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """(checklist, what AWS changes) of an image that has no configuration: only what its disks show is ticked."""
    guest_id, os_name = guest_names(guest)
    if not guest_id:
        return (), ()
    machine = Machine("", name, guest_id=guest_id, tools_guest_name=os_name)
    seen = seen_on_disk(guest)
    items = checklist(machine, seen=seen)
    blank = tuple(item if item.id in seen else replace(item, tick=Tick.UNSEEN, seen="") for item in items)
    return blank, modifications(machine)


def guest_names(guest: GuestFacts) -> tuple[str, str]:
    """(guest id, name) as vCenter would give them for the system on the disks; empty when none was seen."""
    if guest.windows is not None:
        kind = "windows9_64Guest" if guest.windows.client else "windows9Server64Guest"
        return kind, f"Microsoft {guest.windows.product}"
    if guest.linux is not None:
        return _LINUX_IDS.get(guest.linux.elf or "", "otherLinux64Guest"), guest.linux.os_name
    return "", ""


_LINUX_IDS = {"i386": "otherLinuxGuest", "arm64": "otherLinuxArm64Guest"}


def for_route(findings: Sequence[Finding], route: Route) -> tuple[Finding, ...]:
    """What the disks' content means on a route: AWS looks inside only where it converts the guest (F229)."""
    if route is Route.SNAPSHOT:
        return tuple(finding for finding in findings if finding.severity is Severity.INFO)
    if route not in BY_IMAGE:
        findings = [NO_LOADER if finding.rule == LOADER_FROM_GRUB.rule else finding for finding in findings]
    if route is not Route.UNMODIFIED:
        return tuple(findings)
    return tuple(
        replace(finding, severity=min(finding.severity, Severity.WARNING), prevents="") for finding in findings
    )


# -- the guest in words


def guest_rows(guest: GuestFacts) -> tuple[tuple[str, str], ...]:
    """(label, text) of what was seen inside; a label may come several times."""
    return tuple(_guest(guest))


def _guest(guest: GuestFacts) -> Iterator[tuple[str, str]]:
    if guest.linux is not None:
        yield from _linux(guest.linux)
    if guest.windows is not None:
        yield from _windows(guest.windows)
    if guest.linux is None and guest.windows is None:
        yield "System", "none was found"
    yield from _boot(guest)
    for line in guest.linux.fstab_lines if guest.linux else ():
        yield "fstab", f"{line.number}: {line.text}" + (f" ({line.problem})" if line.problem else "")
    for disk in guest.disks:
        yield "Disk", _disk(disk)
        for volume in (volume for volume in guest.volumes if volume.disk == disk.number):
            words = [TITLES.get(volume.kind, volume.kind) or "unknown content", size(volume.size), volume.label]
            words += ["not closed properly"] if volume.dirty else []
            yield "Volume", f"{volume.name}: " + ", ".join(word for word in words if word)


def _disk(disk: DiskFacts) -> str:
    table = {"mbr": "MBR", "gpt": "GPT", "none": "no table, one file system"}.get(disk.table, "no valid table")
    parts = [f"{disk.number + 1}", size(disk.size), table, disk.problem]
    parts += ["dynamic disk"] if disk.dynamic else []
    return ", ".join(part for part in parts if part)


def _linux(linux: LinuxFacts) -> Iterator[tuple[str, str]]:
    name = linux.os_name or " ".join(part for part in (linux.os_id, linux.os_version) if part) or "unknown Linux"
    parts = [name, linux.point_release and f"release {linux.point_release}", linux.elf or "", f"on {linux.volume}"]
    yield "System", ", ".join(part for part in parts if part)
    if linux.kernels is None:
        yield "Kernel", "not seen"
    for kernel in linux.kernels or ():
        yield "Kernel", _kernel(kernel)
    if linux.bls is not None:
        yield "Boot entry", f"{len(linux.bls.entries)}, saved: {linux.bls.saved or 'none'}"
    for nic in linux.nics:
        yield "Network", f"{nic.name} {'static' if nic.static else 'by DHCP'} ({nic.file})"
    services = (("DHCP client", linux.dhcp), ("SSH server", linux.sshd), ("VMware Tools", linux.vmware_tools))
    yield "Software", ", ".join(f"{label} {state.value}" for label, state in services)
    if linux.free is not None:
        yield "Room", f"{size(linux.free)} free on the root file system"


def _kernel(kernel: Kernel) -> str:
    ramdisk = {Presence.PRESENT: kernel.format or "cannot be read", Presence.MISSING: "missing"}.get(kernel.ramdisk)
    drivers = (f"{name} {state.value}" for name, state in kernel.drivers.items())
    return ", ".join([kernel.version, f"initramfs {ramdisk or 'not seen'}", *drivers])


def _windows(windows: WindowsFacts) -> Iterator[tuple[str, str]]:
    build = f"build {windows.build}" if windows.build else ""
    parts = [windows.product or "unknown Windows", windows.edition, build, windows.computer, f"on {windows.volume}"]
    yield "System", ", ".join(part for part in parts if part)
    questions = (
        ("Remote Desktop denied", windows.rdp_denied),
        ("Hyper-V role", windows.hyper_v),
        ("restart pending", windows.pending_reboot),
        ("automatic logon", windows.auto_logon),
        ("VMware Tools", windows.vmware_tools),
    )
    words = {True: "yes", False: "no", None: "not seen"}
    yield "State", ", ".join(f"{label}: {words[answer]}" for label, answer in questions)
    if windows.paging is not None:
        yield "Page file", "; ".join(windows.paging) or "none"
    if windows.static_addresses is not None:
        yield "Network", ", ".join(windows.static_addresses) or "by DHCP"
    if windows.language:
        yield "Language", windows.language
    if windows.sysprep is not None:
        yield "Sysprep", "generalized" if windows.sysprep == _SYSPREP_DONE else f"state {windows.sysprep}"
    if windows.free is not None:
        least = "at least " if windows.free_at_least else ""
        yield "Room", f"{least}{size(windows.free)} free on the system volume"


def _boot(guest: GuestFacts) -> Iterator[tuple[str, str]]:
    paths = ["BIOS"] if any(disk.bios_boot for disk in guest.disks) else []
    if guest.esp:
        paths.append(f"EFI system partition, BOOTX64.EFI {guest.loader.value}")
    yield "Boot path", ", ".join(paths) or "none was found"
    for config in guest.grub:
        yield "Loader", f"{config.path} on {config.volume}"


def clear_words(preflight: Preflight) -> str:
    """What is said when there are no findings: no more than was looked at."""
    if preflight.look is Look.ALL:
        return "Nothing found that stands in the way of the import."
    where = "its configuration" if preflight.guest is None else "what could be read"
    return f"Nothing found in {where}."


def cost_words(preflight: Preflight) -> str:
    """What the look has cost."""
    if preflight.guest is None:
        return "No disk was read: this is the configuration alone."
    words = f"{preflight.requests} requests, {size(preflight.bytes_read)} read of "
    words += f"{len(preflight.disks)} disk{'' if len(preflight.disks) == 1 else 's'}."
    return words + (f" Through the snapshot {preflight.snapshot!r}, removed again." if preflight.snapshot else "")


# -- as a document


def markdown(preflight: Preflight) -> str:
    """The whole report, to hand to whoever looks after the guest."""
    lines = [f"# Preflight of `{preflight.target}`", "", "## Findings", ""]
    if not preflight.findings:
        lines.append(clear_words(preflight))
    for finding in preflight.findings:
        subject = f"{finding.subject}: " if finding.subject else ""
        lines.append(f"- **{finding.severity.name.lower()}** {subject}{finding.what}")
        told = (("", finding.why), ("AWS would say: ", finding.prevents), ("Remedy: ", finding.remedy))
        lines += [f"  - {label}{text}" for label, text in told if text]
    if preflight.not_inspected:
        lines += ["", "## Not inspected", ""]
        lines += [f"- {note.what}: {note.why}" for note in preflight.not_inspected]
    if preflight.guest is not None:
        lines += ["", "## Guest as seen", ""]
        lines += [f"- {label}: {text}" for label, text in guest_rows(preflight.guest)]
    lines += ["", cost_words(preflight), ""]
    if preflight.machine is not None and preflight.items:
        document = to_markdown(preflight.machine, preflight.items).splitlines()
        lines += [f"#{line}" if line.startswith("#") else line for line in document]
    return "\n".join(lines).rstrip() + "\n"
