"""A problem in words, wherever it is shown; and what an empty screen says."""

from __future__ import annotations

from datetime import datetime

from vmie_tui.model.errors import Problem
from vmie_tui.model.example_profile import EXAMPLE
from vmie_tui.widgets.text import Line, paragraph


def problem_lines(
    problem: Problem, cells: int, *, margin: str = "", retry: str = "Trying again is safe: r."
) -> list[Line]:
    """What failed, on which object, what the service said, what to do; ``retry`` is added where a retry is safe."""
    subject = f"{problem.subject}: " if problem.subject else ""
    lines = paragraph(f"{subject}{problem.what}", cells, "bad", ((margin, ""), ("✖ ", "bad")))
    rest: Line = ((margin + "  ", ""),)
    if problem.detail and problem.detail not in problem.what:
        code = f"{problem.code}: " if problem.code and problem.code not in problem.detail else ""
        lines += paragraph(f"In its own words: {code}{problem.detail}", cells, "dim", rest)
    if problem.remedy:
        lines += paragraph(f"Remedy: {problem.remedy.rstrip('.')}.", cells, "info", rest)
    if retry and problem.retry_safe:
        lines += paragraph(retry, cells, "dim", rest)
    return lines


def nothing_configured(config_file: str, cells: int) -> list[Line]:
    """How to begin when the profile names no vCenter."""
    margin: Line = ((" ", ""),)
    lines = paragraph("No vCenter is configured in this profile.", cells, "title", margin)
    lines += paragraph(f"Add one to {config_file}:", cells, "", margin)
    lines += [((f"   {row}", "info"),) for row in EXAMPLE]
    return lines + paragraph("or try everything without one: vmie-tui demo", cells, "", margin)


def age(moment: datetime, now: datetime) -> str:
    """``10:41 (3 hours ago)``: said once, it does not tick."""
    import humanize

    return f"{moment.astimezone():%H:%M} ({humanize.naturaltime(now - moment)})"
