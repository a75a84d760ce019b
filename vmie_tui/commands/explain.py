"""``vmie-tui explain``: what an error text, a task's message or a whole log means, and what to do about it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

import click

from vmie_tui.commands.common import json_option, out, out_json, say
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.model.explain import LONGEST, Explanation, Match, actions, explain

WIDTH = 100
SHOWN_CAUSES = 8


@click.command("explain")
@click.argument("text", nargs=-1)
@json_option
def explain_command(text: tuple[str, ...], as_json: bool) -> int:
    """Explain an error: TEXT, or '-' for standard input (a pasted log).

    \b
    Example: vmie-tui explain 'ClientError: Unknown OS / Missing OS files.'
    Exit code 0 when the text is explained, 1 when it is not known.
    """
    if not text and sys.stdin.isatty():
        raise click.UsageError("give the error's text, or - to read it from standard input")
    told = sys.stdin.buffer.read(4 * LONGEST).decode("utf-8", "replace") if text in {(), ("-",)} else " ".join(text)
    found = explain(told)
    if as_json:
        out_json(found.to_json())
    else:
        for line in _lines(found):
            out(line)
    if not found.known:
        say("this error is not known; look for it, or ask AWS support with the task's id")
    return EXIT_OK if found.known else EXIT_FAILED


def _lines(found: Explanation) -> Iterator[str]:
    if not found.known:
        yield found.text.strip()
        return
    for number, match in enumerate(found.matches):
        if number:
            yield ""
        yield from _match_lines(match, several=len(found.text.strip().splitlines()) > 1)


def _match_lines(match: Match, *, several: bool) -> Iterator[str]:
    where = f", line {match.line}" if several else ""
    yield f"{match.title}  ({match.confidence:.0%} sure{where})"
    if several:
        yield from _wrapped("Said", match.excerpt)
    yield from _wrapped("Cause", match.cause)
    for cause in match.causes[:SHOWN_CAUSES]:
        yield from _wrapped("  or", f"{cause.title}: {cause.remedy}")
    for probe in match.probes:
        yield from _wrapped("  or", f"{probe.title} ({probe.check})")
    yield from _wrapped("Remedy", match.remedy)
    yield from _wrapped("Next", actions()[match.action])


def _wrapped(label: str, words: str) -> list[str]:
    return textwrap.wrap(words, WIDTH, initial_indent=f"  {label:8}", subsequent_indent=" " * 10) or [f"  {label}"]
