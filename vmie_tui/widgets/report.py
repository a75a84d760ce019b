"""A preflight in full: findings, what was not looked at, the guest as seen, what is left to do, what AWS changes."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model.formatting import plural
from vmie_tui.model.preflight import Preflight, clear_words, cost_words, guest_rows
from vmie_tui.model.preparation import Item, Tick
from vmie_tui.widgets.machine_detail import finding_lines, heading
from vmie_tui.widgets.machines import STYLES
from vmie_tui.widgets.text import Line, fit, paragraph

TICKS = {Tick.DONE: ("✔", "ok"), Tick.OPEN: ("✖", "warn"), Tick.UNSEEN: ("?", "dim")}
TITLES = {"general": "any system", "linux": "Linux", "windows": "Windows"}
LABEL_CELLS = 12
_MARGIN: Line = ((" ", ""),)


def report_lines(result: Preflight, cells: int) -> list[Line]:
    """The report, ``cells`` wide."""
    lines: list[Line] = [heading(_counted(result), cells)]
    if not result.findings:
        verdict = result.judged
        glyph = (f"{verdict.glyph} ", STYLES[verdict.state])
        lines += paragraph(clear_words(result), cells, "", ((" ", ""), glyph))
    for finding in result.findings:
        lines += finding_lines(finding, cells, indent=" ")
    if result.not_inspected:
        lines += [(), heading("Not inspected: neither passed nor failed", cells)]
        for note in result.not_inspected:
            lines += paragraph(f"{note.what}: {note.why}", cells, "", ((" ? ", "warn"),))
    if result.guest is not None:
        lines += [(), heading("Guest as seen", cells)]
        last = ""
        for label, text in guest_rows(result.guest):
            shown = "" if label == last else label
            lines += paragraph(text, cells, "", ((f" {fit(shown, LABEL_CELLS)}", "dim"),))
            last = label
    if result.items:
        done = sum(item.tick is Tick.DONE for item in result.items)
        title = f"Preparation checklist: {done} of {len(result.items)} seen done"
        lines += [(), heading(title, cells), *_checklist(result.items, cells)]
    if result.changes:
        lines += [(), heading("What AWS changes inside", cells)]
        for text in result.changes:
            lines += paragraph(text, cells, "", ((" · ", "dim"),))
    lines += [(), heading("Cost of the look", cells), *paragraph(cost_words(result), cells, "dim", _MARGIN)]
    return lines


def _counted(result: Preflight) -> str:
    infos = len(result.findings) - len(result.blockers) - len(result.warnings)
    words = [plural(len(result.blockers), "blocker")] if result.blockers else []
    words += [plural(len(result.warnings), "warning")] if result.warnings else []
    words += [plural(infos, "remark")] if infos else []
    return "Findings" + (f": {', '.join(words)}" if words else "")


def _checklist(items: tuple[Item, ...], cells: int) -> Iterator[Line]:
    """Open ones first within each group, then those nobody can see, then those that are done."""
    order = {Tick.OPEN: 0, Tick.UNSEEN: 1, Tick.DONE: 2}
    for group in dict.fromkeys(item.group for item in items):
        yield ((f" For {TITLES.get(group, group)}", "head"),)
        for item in sorted((item for item in items if item.group == group), key=lambda item: order[item.tick]):
            glyph, style = TICKS[item.tick]
            seen = item.seen or (item.tick.value if item.tick is Tick.UNSEEN else "")
            text = f"{item.words} ({item.id})" + (f": {seen}" if seen else "")
            dim = "" if item.tick is Tick.OPEN else "dim"
            yield from paragraph(text, cells, dim, ((" ", ""), (f"{glyph} ", style)))
