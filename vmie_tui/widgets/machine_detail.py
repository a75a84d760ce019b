"""One machine in words: findings with remedies first, then disks, network and place."""

from __future__ import annotations

from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import plural
from vmie_tui.model.machine import Backing, Disk, Machine
from vmie_tui.model.verdict import Look
from vmie_tui.widgets.machines import STYLES, MachineRow
from vmie_tui.widgets.text import Cell, Line, clean, fit, join, paragraph, size, width

CLEAR, CONFIGURED = "Nothing found that stands in the way of the import.", "Nothing found in its configuration."
LOOKS = {
    Look.NONE: "Its disks were not looked into: p looks into them.",
    Look.PART: "Not all of its disks could be read: p shows the report.",
    Look.ALL: "Its disks were looked into: p shows the report.",
}
GLYPHS = {Severity.BLOCKER: ("✖", "bad"), Severity.WARNING: ("▲", "warn"), Severity.INFO: ("·", "dim")}


def heading(text: str, cells: int) -> Line:
    """``── text ─────`` over the whole width."""
    label = fit(clean(text), min(width(clean(text)), max(4, cells - 8)))
    return (("── ", "rule"), (label, "title"), (" " + "─" * max(0, cells - width(label) - 4), "rule"))


def indented(lines: list[Line]) -> list[Line]:
    """The lines moved right by one cell, but the heading."""
    return [line if number == 0 else ((" ", ""), *line) for number, line in enumerate(lines)]


def machine_lines(row: MachineRow | None, cells: int) -> list[Line]:
    """The detail pane's content for a row, ``cells`` wide."""
    if row is None:
        return []
    machine = row.machine
    lines = [heading(machine.name, cells)]
    cells -= 1
    if not row.findings:
        words = CLEAR if row.look is Look.ALL else CONFIGURED
        first: Cell = (f"{row.judged.glyph} ", STYLES[row.judged.state])
        lines += paragraph(words, cells, "", (first,))
    for finding in row.findings:
        lines += finding_lines(finding, cells)
    lines.append(((LOOKS[row.look], "dim"),))
    lines += [line for disk in machine.disks for line in disk_lines(disk, cells)]
    lines += _facts(machine, cells)
    return indented(lines)


def finding_lines(finding: Finding, cells: int, *, indent: str = "") -> list[Line]:
    """A finding: what, why, the AWS error it saves from, the remedy."""
    glyph, style = GLYPHS[finding.severity]
    subject = f"{finding.subject}: " if finding.subject else ""
    what = f"{subject}{finding.what}" if finding.subject else _sentence(finding.what)
    why = f" {finding.why}." if finding.why else ""
    first: Line = ((indent, ""), (glyph, style), (" ", ""))
    lines = paragraph(f"{what}.{why}", cells, "", first)
    rest: Line = ((indent + "  ", ""),)
    if finding.prevents:
        lines += paragraph(f"AWS would say: {finding.prevents}", cells, "dim", rest)
    if finding.remedy:
        lines += paragraph(f"Remedy: {finding.remedy}.", cells, "info", rest)
    return lines


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a name such as vCenter."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def disk_lines(disk: Disk, cells: int) -> list[Line]:
    """One line, or two where the datastore does not fit beside the rest."""
    kind = "" if disk.thin is None else "thin" if disk.thin else "thick"
    notes = [kind] if disk.backing is Backing.FLAT else [disk.backing.value.upper()]
    notes += ["independent"] if disk.independent else []
    place = f"[{clean(disk.datastore)}]" if disk.datastore else ""
    label = fit(clean(disk.label), 12)
    bad = disk.backing is not Backing.FLAT or disk.encrypted
    text = f"  {clean(disk.controller) or '–':<9} {size(disk.capacity):>8}  {' '.join(notes):<6}"
    first: Line = ((label, "bad" if bad else "title"), (text, ""))
    if width(label) + width(text) + 2 + width(place) <= cells:
        return [(*first, (f"  {place}", ""))]
    return [first, (((" " * width(label) + "  "), ""), (fit(place, max(4, cells - width(label) - 2)), "dim"))]


def _facts(machine: Machine, cells: int) -> list[Line]:
    nics = ", ".join(
        join([nic.network or nic.label, " ".join(nic.addresses), "" if nic.connected else "disconnected"], " ")
        for nic in machine.nics
    )
    shape = join([plural(machine.cpus, "CPU"), size(machine.memory_mib << 20) + " memory", machine.firmware.value])
    extras = [
        "secure boot" if machine.secure_boot else "",
        "vTPM" if machine.vtpm else "",
        "CBT on" if machine.cbt else "",
        plural(machine.snapshots, "snapshot") if machine.snapshots else "",
    ]
    rows = (
        ("Guest", join([machine.os_name, machine.hostname, machine.tools_status])),
        ("Machine", join([shape, *extras])),
        ("Network", nics),
        ("Place", join(["/".join((machine.datacenter, *machine.folder)), machine.cluster, machine.host])),
        ("Notes", machine.annotation),
    )
    lines: list[Line] = []
    for label, text in rows:
        if text:
            lines += paragraph(text, cells, "", ((f"{label:<9}", "dim"),))
    return lines
