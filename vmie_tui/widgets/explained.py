"""What a problem means and what to do about it, from the documented errors and the known traps."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from vmie_tui.model.errors import Problem
from vmie_tui.model.explain import Explanation, Match, actions, explain_problem
from vmie_tui.model.job import JobView
from vmie_tui.widgets.text import Line, fit, paragraph

LABEL_CELLS = 10
SURE = 0.6  # below it a match is a guess, which only the full page shows


@lru_cache(maxsize=256)
def explained(problem: Problem) -> Explanation:
    """What is known of a problem; kept, for each repaint asks."""
    return explain_problem(problem)


def look_up(jobs: Iterable[JobView]) -> None:
    """Explain the problems of these jobs ahead, in a thread: the first time takes longer than a screen may be held."""
    for job in jobs:
        if job.problem is not None:
            explained(job.problem)


def brief_lines(problem: Problem, cells: int) -> list[Line]:
    """Means, do, source of the likeliest cause; nothing when it is not known."""
    return brief_explanation(explained(problem), cells, "e: in full")


def brief_explanation(found: Explanation, cells: int, more: str) -> list[Line]:
    """As `brief_lines`; ``more`` says how to see all of it."""
    if not found.known or found.matches[0].confidence < SURE:
        return []
    match = found.matches[0]
    lines = _labelled("Means", _sentence(match.cause), cells)
    lines += _labelled("Do", _sentence(match.remedy), cells, "info")
    return lines + _labelled("Source", f"{_source(match)}; {more}", cells, "dim")


def full_lines(problem: Problem, cells: int) -> list[Line]:
    """All that is known: every match with its causes, what can be looked for, and what to do."""
    said, found = _labelled("Said", problem.detail or problem.what, cells), explained(problem)
    if not found.known and problem.remedy and not problem.detail:  # our own words, which say what to do
        return [*said, *_labelled("Do", _sentence(problem.remedy), cells, "info")]
    return [*said, *full_explanation(found, cells, copying="on the page of the job y copies it, for support.")]


def full_explanation(found: Explanation, cells: int, *, copying: str = "y copies it for support.") -> list[Line]:
    """Every match with its causes, what can be looked for, and what to do; that nothing is known, where it is so."""
    if not found.known:
        words = (
            "This is not one of the documented errors, or of those known from reports. Its text is kept as it is: "
            f"{copying}"
        )
        return [(), *paragraph(words, cells, "warn")]
    return [line for match in found.matches for line in ((), *_match_lines(match, cells))]


def _match_lines(match: Match, cells: int) -> list[Line]:
    *above, last = paragraph(match.title or match.id, max(8, cells - 10), "title")
    lines: list[Line] = [*above, (*last, (f"  {match.confidence:.0%} sure", "dim"))]
    lines += _labelled("Means", _sentence(match.cause), cells)
    for cause in match.causes:
        lines += _labelled("  or", f"{_sentence(cause.title)} {_sentence(cause.remedy)}", cells)
    for probe in match.probes:
        lines += _labelled("  or", f"{_sentence(probe.title)} {_sentence(probe.remedy)} Check: {probe.check}", cells)
    lines += _labelled("Do", _sentence(match.remedy), cells, "info")
    if match.action:
        lines += _labelled("Next", _sentence(actions().get(match.action, "")), cells, "info")
    return lines + _labelled("Source", _source(match), cells, "dim")


def _source(match: Match) -> str:
    return "Known from reports of others" if match.id.startswith("T") else "VM Import/Export guide, errors"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _labelled(label: str, text: str, cells: int, style: str = "") -> list[Line]:
    return paragraph(text, cells, style, ((fit(label, LABEL_CELLS), "dim"),)) if text else []
