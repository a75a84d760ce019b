"""``vmie-tui facts``: the documented facts that the checks rest on, each with what states it and when it was read."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime

import click

from vmie_tui.commands.common import json_option, out, out_json, say
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.model.facts_list import Stated, stated_facts

WIDTH = 100


@click.command("facts")
@click.argument("words", nargs=-1)
@click.option(
    "--older-than", type=click.IntRange(min=0), metavar="DAYS", help="Only what nobody has looked up for so many days."
)
@json_option
def facts_command(words: tuple[str, ...], older_than: int | None, as_json: bool) -> int:
    """List the documented facts that have all WORDS, with their sources.

    A limit, list or text that AWS has changed since can be corrected by a file of your own, without waiting for a
    release: see facts_file in docs/setup.md. The name in front of each fact is the one that file uses.

    \b
    Example: vmie-tui facts ubuntu
    """
    today = datetime.now(UTC).date()
    chosen = [fact for fact in stated_facts() if _has(fact, words)]
    if older_than is not None:
        chosen = [fact for fact in chosen if fact.older_than(older_than, today)]
    if as_json:
        out_json([fact.to_json() for fact in chosen])
        return EXIT_OK
    for fact in chosen:
        out(fact.place)
        for line in (fact.text, *(f"{source}{_when(fact)}" for source in fact.sources[:1])):
            out(textwrap.fill(line, WIDTH, initial_indent="    ", subsequent_indent="    "))
    say(f"{len(chosen)} facts")
    return EXIT_OK


def _has(fact: Stated, words: tuple[str, ...]) -> bool:
    text = f"{fact.place} {fact.text}".lower()
    return all(word.lower() in text for word in words)


def _when(fact: Stated) -> str:
    return f", read on {fact.seen}" if fact.seen else ""
