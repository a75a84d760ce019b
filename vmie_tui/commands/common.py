"""What every command shares: settings, output, words for times and states."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from vmie_tui.commands.session import Session
from vmie_tui.model.finding import Finding
from vmie_tui.model.formatting import minutes, one_line, plain, rate
from vmie_tui.model.job import JobView
from vmie_tui.model.task import JobState

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
job_ids_argument = click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
region_option = click.option("--region", help="Region it is in; the profile's when left out.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")

pass_session = click.make_pass_decorator(Session)


def out(text: str) -> None:
    """A line of data, or several."""
    sys.stdout.write(f"{plain(text)}\n")


def out_line(text: str) -> None:
    """One line of data, whatever names in it hold."""
    out(one_line(text))


def say(text: str) -> None:
    """A line of narration."""
    sys.stderr.write(f"{plain(text)}\n")
    sys.stderr.flush()


def out_json(value: Any) -> None:
    """The value as it is: what would steer a terminal is escaped, and read back the same."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not text.replace("\n", " ").isprintable():
        text = json.dumps(value, indent=2)
    sys.stdout.write(f"{text}\n")


def sure(question: str, yes: bool) -> None:
    """Ask before something is gone. UsageError where nobody can answer; Abort for no."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("nobody is there to be asked; --yes answers the question")
    click.confirm(plain(question), default=False, abort=True, err=True)


def tags_of(pairs: Sequence[str]) -> dict[str, str]:
    """The options ``--tag KEY=VALUE``. Raises click.BadParameter."""
    tags: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--tag")
        tags[key] = value
    return tags


def finding_words(finding: Finding) -> str:
    """A finding in one line: on what, why, what AWS would say, and what to do."""
    parts = (finding.headline, finding.why, finding.prevents and f"AWS would say: {finding.prevents}", finding.remedy)
    return one_line(". ".join(part.rstrip(".") for part in parts if part))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Text columns under headings; the columns in ``right`` are aligned to the right."""
    lines = [list(headings), *[[one_line(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def percent_text(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction * 100:.0f}%"


def left_text(seconds: float | None) -> str:
    """Time left as ``m:ss`` or ``h:mm:ss``."""
    return "" if seconds is None else minutes(seconds)


def job_line(view: JobView) -> str:
    """One job in one line of narration."""
    parts = [view.name, view.state.value]
    if view.state is JobState.RUNNING:
        parts += [percent_text(view.fraction), rate(view.rate) if view.rate else "", view.message]
    elif view.problem is not None:
        parts.append(str(view.problem))
    else:
        parts.append(view.image_id or view.message)
    return one_line("  ".join(part for part in parts if part))
