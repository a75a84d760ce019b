"""The proof of an import in lines: for each disk what was sent, received and stored, side by side."""

from __future__ import annotations

from vmie_tui.model.proof import BlockProof, DiskProof, Proof
from vmie_tui.widgets.machine_detail import heading
from vmie_tui.widgets.text import Line, clean, fit, paragraph

VERDICTS = {True: ("✔ equal", "ok"), False: ("✖ DIFFERENT", "bad"), None: ("? not all compared", "warn")}
GLYPHS = {True: ("✔ ", "ok"), False: ("✖ ", "bad"), None: ("· ", "dim")}
LABEL_CELLS = 17


def proof_lines(proof: Proof, cells: int) -> list[Line]:
    """The verdict, a table of the disks, then each disk in full."""
    _, style = VERDICTS[proof.equal]
    verdict = f"{proof.verdict[:1].upper()}{proof.verdict[1:]}."
    lines: list[Line] = [*paragraph(verdict, cells, style, ((" ", ""), GLYPHS[proof.equal])), ()]
    lines += _table(proof, cells)
    for disk in proof.disks:
        lines += [(), heading(disk.label, cells), *_disk(disk, cells)]
    if proof.notes:
        lines += [(), heading("Not compared", cells)]
        lines += [line for note in proof.notes for line in paragraph(note, cells, "", ((" · ", "dim"),))]
    return lines


def _table(proof: Proof, cells: int) -> list[Line]:
    names = min(max([len(clean(disk.label)) for disk in proof.disks] + [6]), max(6, cells - 56))
    head = f" {fit('Disk', names)}  {fit('Host = received', 17)}{fit('Stored = sent', 15)}{fit('Blocks in EBS', 19)}"
    lines: list[Line] = [((head, "head"),)]
    for disk in proof.disks:
        host, host_style = _word(disk.host_equal, "no checksum" if not disk.host_sha256 else "not received")
        stored, stored_style = _word(disk.stored_equal, "no object" if not disk.stored_then else "deleted")
        blocks, blocks_style = _blocks(disk.blocks)
        lines.append(
            (
                (f" {fit(clean(disk.label), names)}  ", "title"),
                (fit(host, 17), host_style),
                (fit(stored, 15), stored_style),
                (fit(blocks, 19).rstrip(), blocks_style),
            )
        )
    return lines


def _word(equal: bool | None, unknown: str) -> tuple[str, str]:
    return (f"– {unknown}", "dim") if equal is None else VERDICTS[equal]


def _blocks(blocks: tuple[BlockProof, ...]) -> tuple[str, str]:
    compared = sum(each.compared for each in blocks)
    if not compared:
        return "– none compared", "dim"
    wrong = sum(len(each.different) for each in blocks if each.equal is False)
    changed = sum(len(each.different) for each in blocks if each.equal is None)
    if wrong:
        return f"✖ {wrong:,} of {compared:,} differ", "bad"
    if changed:
        return f"▲ {changed:,} of {compared:,} by AWS", "warn"
    return f"✔ {compared:,} equal", "ok"


def _disk(disk: DiskProof, cells: int) -> list[Line]:
    lines: list[Line] = []
    rows = (
        ("Host's SHA-256", disk.host_sha256, None),
        ("Received SHA-256", disk.received_sha256, disk.host_equal),
        ("CRC64NVME, sent", disk.stored_then, None),
        ("CRC64NVME, now", f"{disk.stored_now}  {disk.stored}" if disk.stored_now else "", disk.stored_equal),
    )
    for label, text, equal in rows:
        if text:
            style = "" if equal is None else VERDICTS[equal][1]
            lines += paragraph(text, cells, style, ((f" {fit(label, LABEL_CELLS)}", "dim"),))
    for each in disk.blocks:
        lines += paragraph(f"{each}.", cells, "", ((" ", ""), GLYPHS[each.equal]))
    for note in disk.notes:
        lines += paragraph(f"{note}.", cells, "dim", ((" · ", "dim"),))
    return lines


def markdown(proof: Proof) -> str:
    """The same as a document, to keep beside the migrated machine."""
    lines = [f"# Proof of `{proof.name}`", "", f"Job `{proof.job_id}`, route {proof.route}: **{proof.verdict}**."]
    lines += ["", "| Disk | Host = received | Stored = sent | Blocks in EBS |", "|---|---|---|---|"]
    for disk in proof.disks:
        cells = (
            clean(disk.label).replace("|", "\\|"),
            _word(disk.host_equal, "no checksum")[0],
            _word(disk.stored_equal, "not compared")[0],
            _blocks(disk.blocks)[0],
        )
        lines.append(f"| {' | '.join(cells)} |")
    for disk in proof.disks:
        lines += ["", f"## {disk.label}", "", *(f"    {line}" for line in disk.lines())]
    return "\n".join([*lines, *([""] if proof.notes else []), *(f"- {note}" for note in proof.notes)]) + "\n"
