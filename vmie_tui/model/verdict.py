"""What is said of a source in two words, on every screen and by every command: the one list of these words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vmie_tui.model.finding import Finding, Severity, worst


class Look(StrEnum):
    """How much of a machine's disks was read."""

    NONE = "not looked"
    PART = "partly"  # a disk is missing, or no system was found in what could be read
    ALL = "looked"


class State(StrEnum):
    """The verdict as JSON has it; the worst first."""

    BLOCKED = "blocked"
    WARNINGS = "warnings"
    NOT_LOOKED = "not-looked"  # nothing found, but its disks were not read
    PARTLY_LOOKED = "partly-looked"
    READY = "ready"  # its disks were read, and nothing stands in the way


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst that was found of a machine."""

    state: State
    count: int = 0  # findings of the worst kind

    @property
    def glyph(self) -> str:
        return _GLYPHS[self.state]

    @property
    def words(self) -> str:
        """Without the glyph: ``2 blockers``, ``1 warning``, ``not looked``, ``partly``, ``ready``."""
        noun = _NOUNS.get(self.state)
        return f"{self.count:,} {noun}{'' if self.count == 1 else 's'}" if noun else _WORDS[self.state]

    @property
    def text(self) -> str:
        return f"{self.glyph} {self.words}"

    @property
    def rank(self) -> int:
        return _RANKS[self.state] + self.count


_GLYPHS = {
    State.BLOCKED: "✖",
    State.WARNINGS: "▲",
    State.NOT_LOOKED: "?",
    State.PARTLY_LOOKED: "?",
    State.READY: "✔",
}
_NOUNS = {State.BLOCKED: "blocker", State.WARNINGS: "warning"}
_WORDS = {State.NOT_LOOKED: Look.NONE.value, State.PARTLY_LOOKED: Look.PART.value, State.READY: "ready"}
_RANKS = {
    State.BLOCKED: 3_000_000,
    State.WARNINGS: 2_000_000,
    State.NOT_LOOKED: 1_000_002,
    State.PARTLY_LOOKED: 1_000_001,
    State.READY: 0,
}
# What the words of the inventory's filter ask for, beside the letters in a name.
FILTERS: dict[str, frozenset[State]] = {
    "blocker": frozenset({State.BLOCKED}),
    "blockers": frozenset({State.BLOCKED}),
    "warning": frozenset({State.WARNINGS}),
    "warnings": frozenset({State.WARNINGS}),
    "ready": frozenset({State.READY}),
    "?": frozenset({State.NOT_LOOKED, State.PARTLY_LOOKED}),
}
LOOKED = frozenset({"looked", "inspected"})  # filters too: of whatever verdict, when all of its disks were read
NOT_LOOKED = "not looked"  # as it is written in a list: the opposite
MEANINGS = {
    State.BLOCKED: "AWS would refuse it, or it would not work",
    State.WARNINGS: "It can go on; something is lost or may fail",
    State.NOT_LOOKED: "Nothing found in its configuration; its disks were not read: p reads them",
    State.PARTLY_LOOKED: "Nothing found, but not all of its disks could be read",
    State.READY: "Its disks were read, and nothing stands in the way",
}


def judge(findings: Iterable[Finding], look: Look) -> Verdict:
    """The verdict on what was found by this ``look``. A look that was not taken passes nothing."""
    found = tuple(findings)
    level = worst(found)
    count = sum(1 for finding in found if finding.severity is level)
    if level is Severity.BLOCKER:
        return Verdict(State.BLOCKED, count)
    if level is Severity.WARNING:
        return Verdict(State.WARNINGS, count)
    return Verdict({Look.NONE: State.NOT_LOOKED, Look.PART: State.PARTLY_LOOKED, Look.ALL: State.READY}[look])
