"""Cause and remedy of an error text, a task's message or a pasted log, from the documented errors and known traps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.errors import Problem
from vmie_tui.model.task import Task, TaskKind

ROLE_ERROR = "E06"  # "The service role vmimport does not exist or does not have sufficient permissions"
LONGEST = 1_000_000  # characters that are looked at: of a longer log the end, where errors are
_SNIPPET = 300
_DOCUMENTED, _OTHER_WORDS, _TRAP = 0.9, 0.8, 0.75  # how sure a match is by its words alone
_FITS, _FITS_NOT = 0.08, 0.3  # what the task's kind adds or takes away
_CAUSE_FITS = 0.2

_OPERATIONS = {
    TaskKind.IMPORT_IMAGE: "ImportImage",
    TaskKind.IMPORT_SNAPSHOT: "ImportSnapshot",
    TaskKind.EXPORT_INSTANCE: "CreateInstanceExportTask",
    TaskKind.EXPORT_IMAGE: "ExportImage",
    TaskKind.CONVERSION: "ImportInstance",
}
_PLATFORMS = frozenset({"windows", "linux"})  # groups of the documented errors that are a platform's own
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PLAIN = str.maketrans("‘’‚‛“”„‟‐‑‒–—―−\u00a0\u2007\u202f\u3000：［］（），", "''''\"\"\"\"-------    :[](),")
_OPTIONAL = re.compile(
    r"\.\*\([^()]*\)\?\.\*"
)  # an optional word between two gaps only costs time: one gap is the same
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&"))


@dataclass(frozen=True, slots=True)
class Cause:
    """One of several causes of the same text."""

    title: str
    remedy: str
    confidence: float = 0.5  # 0 to 1


@dataclass(frozen=True, slots=True)
class Probe:
    """A cause that can be looked for; `services.aws.iam.role_probes` does it."""

    id: str
    title: str
    check: str  # how it is looked for
    remedy: str


@dataclass(frozen=True, slots=True)
class Match:
    """An explanation of some words of the text."""

    id: str  # of the fact it comes from: ``E06``, ``T35``
    cause: str
    remedy: str
    action: str  # what fixes it, a key of `actions`
    confidence: float  # 0 to 1
    line: int  # from 1
    excerpt: str  # that line, with plain quotes and dashes
    title: str = ""
    facts: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a text or a problem means."""

    text: str  # what was asked, unchanged
    matches: tuple[Match, ...] = ()  # the likeliest first

    @property
    def known(self) -> bool:
        return bool(self.matches)

    def to_json(self) -> dict[str, Any]:
        labels = actions()
        return {
            "known": self.known,
            "text": self.text,
            "matches": [{**asdict(match), "action_label": labels.get(match.action, "")} for match in self.matches],
        }


@cache
def actions() -> dict[str, str]:
    """What can be done about an error: id -> words for a button."""
    return {entry["id"]: entry["label"] for entry in facts.load("traps")["actions"]}


def role_probes() -> tuple[Probe, ...]:
    """The six causes behind "the service role does not exist"."""
    return tuple(Probe(**entry) for entry in facts.load("traps")["errors"][ROLE_ERROR]["probes"])


def explain(text: str, *, task: Task | None = None) -> Explanation:
    """Everything that is known about the errors in ``text``, ranked by their words and by what the task is.

    ``task`` adds its own message when the text is empty. Never raises; an unknown text has no matches.
    """
    told = text or (task.reason if task is not None else "")
    plain = _plain(told)
    known = _Known.of(task)
    line = told[:-LONGEST].count("\n") + 1
    found: dict[str, Match] = {}
    for entry in _entries():
        hit = next((hit for pattern in entry.patterns if (hit := pattern.search(plain))), None)
        if hit is not None:
            confidence = entry.weight if entry.documented is None else _documented_weight(entry, plain)
            found[entry.id] = _match(entry, confidence, hit.start(), _Told(plain, line), known)
    return Explanation(told, tuple(sorted(_without_echoes(found), key=lambda match: (-match.confidence, match.line))))


def identified(problem: Problem) -> Problem:
    """The problem with the ids of what is documented or known of it: by the service's code and its words."""
    if problem.facts:
        return problem
    found = [match.id for match in _explained_by_words(problem).matches]
    by_code = next((entry.id for entry in _entries() if problem.code in entry.codes), "")
    if by_code and by_code not in found and not (found and by_code in _GENERAL):
        found.append(by_code)
    return replace(problem, facts=tuple(found))


def explain_problem(problem: Problem) -> Explanation:
    """What is known of a problem: by the facts it was identified with, else (as older jobs kept it) by its words."""
    if not problem.facts:
        return _explained_by_words(problem)
    words = problem.detail or problem.what
    told, known = _Told(_plain(words), 1), _Known()
    entries = {entry.id: entry for entry in _entries() if entry.id in problem.facts}
    matches = [
        _match(entries[ident], _DOCUMENTED if entries[ident].documented else entries[ident].weight, 0, told, known)
        for ident in problem.facts
        if ident in entries  # a newer version may know more
    ]
    found = [replace(match, probes=_found_first(match.probes, problem.causes)) for match in matches]
    return Explanation(words, tuple(sorted(found, key=lambda match: -match.confidence)))


def _explained_by_words(problem: Problem) -> Explanation:
    """By what the service said, rather than by what we made of it."""
    found = explain(problem.detail)
    return found if found.known else explain(problem.what)


def _found_first(probes: tuple[Probe, ...], found: tuple[str, ...]) -> tuple[Probe, ...]:
    return tuple(sorted(probes, key=lambda probe: probe.id not in found))


def _documented_weight(entry: _Entry, plain: str) -> float:
    exact = entry.documented is not None and entry.documented.search(plain) is not None
    return _DOCUMENTED if exact else entry.weight


def _plain(text: str) -> str:
    """The text with plain quotes, dashes and blanks; its lines stay lines."""
    plain = _ANSI.sub("", text[-LONGEST:])
    for entity, char in _ENTITIES:
        plain = plain.replace(entity, char)
    return plain.translate(_PLAIN).replace('\\"', '"').replace("\\n", "  ").replace("\\u0027", "'")


# -- what can be recognised


@dataclass(frozen=True, slots=True)
class _Entry:
    """A documented error or a trap."""

    id: str
    title: str
    cause: str
    remedy: str
    action: str
    weight: float
    patterns: tuple[re.Pattern[str], ...]
    documented: re.Pattern[str] | None = None  # matches the error's own words
    operations: frozenset[str] = frozenset()
    codes: tuple[str, ...] = ()  # of AWS's errors and vSphere's faults that are this, whatever their words
    facts: tuple[str, ...] = ()
    causes: tuple[dict[str, Any], ...] = ()
    probes: tuple[Probe, ...] = ()
    when: dict[str, Any] = field(default_factory=dict)


@cache
def _entries() -> tuple[_Entry, ...]:
    return (*_errors(), *_traps())


def _errors() -> Iterator[_Entry]:
    more = facts.load("traps")["errors"]
    for error in facts.load("errors")["troubleshooting"]["errors"]:
        ident = error["id"]
        extra = more.get(ident, {})
        own = compiled(error["regex"])
        yield _Entry(
            ident,
            _title(error["message"]),
            error["cause"],
            extra.get("remedy") or (_practices(error) if error.get("causes") else error["remedy"]),
            extra["action"],
            _OTHER_WORDS,
            (own, *(compiled(pattern) for pattern in extra.get("patterns", ()))),
            own,
            frozenset(error["operations"]),
            facts=(ident,),
            causes=(*error.get("causes", ()), *extra.get("causes", ()), *_elsewhere(error, extra)),
            probes=role_probes() if ident == ROLE_ERROR else (),
            when={"platform": error["group"]} if error["group"] in _PLATFORMS else {},
        )


def _title(message: str) -> str:
    """The error's words without the code in front and the request's details behind."""
    words = re.sub(
        r"^(?:An error occurred \(\w+\) when calling the \w+ operation|A client error .*? operation): ", "", message
    )
    words = re.sub(r"^(?:[A-Z][\w.]*(?:Error|Failure|Exportable|Unsupported|Operation)|ERROR): ", "", words)
    return words.partition(" (Service:")[0].partition(". Please try again")[0]


def _practices(error: dict[str, Any]) -> str:
    return "; ".join(error.get("best_practices", ())) or error["remedy"]


def _elsewhere(error: dict[str, Any], extra: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The documented remedy, where another one is given: it is Server Migration Service's own (F448, F449)."""
    if "remedy" in extra:
        yield {"title": "In Server Migration Service's connector", "resolution": error["remedy"]}


def _traps() -> Iterator[_Entry]:
    for trap in facts.load("traps")["traps"]:
        patterns = tuple(compiled(pattern) for pattern in trap.get("patterns", ()))
        if patterns:
            yield _Entry(
                trap["id"],
                trap["title"],
                trap["cause"],
                trap["remedy"],
                trap["action"],
                trap.get("weight", _TRAP),
                patterns,
                codes=tuple(trap.get("codes", ())),
                facts=(trap["id"], *trap.get("facts", ())),
                causes=tuple(trap.get("causes", ())),
                when=trap.get("when", {}),
            )


def compiled(pattern: str) -> re.Pattern[str]:
    """An expression of the facts for pasted text: blanks match any white space, ``.*`` ends after 300 characters."""
    pattern = _OPTIONAL.sub(".*", pattern)
    out: list[str] = []
    in_class = False
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            out.append(pattern[index : index + 2])
            index += 2
            continue
        if char in "[]":
            in_class = char == "["
        if char == " " and not in_class:
            optional = pattern.startswith(" ?", index)
            out.append(r"\s*" if optional else r"\s+")
            index += optional
        elif pattern.startswith(".*", index) and not in_class:
            out.append(r"[\s\S]{0,300}?")
            index += 1
        elif char == "." and not in_class:
            out.append(r"[\s\S]")
        else:
            out.append(char)
        index += 1
    return re.compile("".join(out), re.IGNORECASE)


# -- ranking


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the task the text is about; None and empty where nothing is."""

    operation: str = ""
    formats: frozenset[str] = frozenset()
    encrypted: bool | None = None
    platform: str = ""
    active: bool | None = None

    @classmethod
    def of(cls, task: Task | None) -> _Known:
        if task is None:
            return cls()
        return cls(
            _OPERATIONS[task.kind],
            frozenset(disk.format.upper() for disk in task.disks if disk.format),
            task.raw.get("Encrypted"),
            str(task.raw.get("Platform") or "").lower(),
            not task.terminal,
        )

    def speaks_for(self, when: dict[str, Any]) -> int:
        """How many conditions hold, less how many do not."""
        holds = {
            "encrypted": None if self.encrypted is None else lambda wanted: self.encrypted is wanted,
            "format": (lambda wanted: wanted in self.formats) if self.formats else None,
            "not_format": (lambda wanted: wanted not in self.formats) if self.formats else None,
            "platform": (lambda wanted: wanted == self.platform) if self.platform else None,
            "active": None if self.active is None else lambda wanted: self.active is wanted,
        }
        return sum((1 if test(wanted) else -1) for key, wanted in when.items() if (test := holds[key]) is not None)


@dataclass(frozen=True, slots=True)
class _Told:
    """The text that was looked at, and the number of its first line."""

    plain: str
    line: int

    def excerpt(self, at: int) -> str:
        start, end = self.plain.rfind("\n", 0, at) + 1, self.plain.find("\n", at)
        line = self.plain[max(start, at - _SNIPPET // 2) : len(self.plain) if end < 0 else end]
        return line.strip()[:_SNIPPET]


def _match(entry: _Entry, confidence: float, at: int, told: _Told, known: _Known) -> Match:
    if known.operation and entry.operations:
        confidence += _FITS if known.operation in entry.operations else -_FITS_NOT
    elif entry.operations and any(operation in told.plain for operation in entry.operations):
        confidence += _FITS
    confidence += _FITS * known.speaks_for(entry.when)
    causes = [
        Cause(
            cause["title"],
            cause["resolution"],
            min(1.0, max(0.1, 0.5 + _CAUSE_FITS * known.speaks_for(cause.get("when", {})))),
        )
        for cause in entry.causes
    ]
    causes.sort(key=lambda cause: -cause.confidence)
    return Match(
        entry.id,
        entry.cause,
        entry.remedy,
        entry.action,
        round(min(0.99, max(0.05, confidence)), 2),
        told.line + told.plain.count("\n", 0, at),
        told.excerpt(at),
        entry.title,
        entry.facts,
        tuple(causes),
        entry.probes,
    )


_GENERAL = ("K03", "K17", "T36")  # say less than any other match of the same line


def _without_echoes(found: dict[str, Match]) -> Iterator[Match]:
    """Leave out what only repeats a better match of the same line in general words."""
    for match in found.values():
        if match.id in _GENERAL and any(
            other.line == match.line and other.id not in _GENERAL for other in found.values()
        ):
            continue
        yield match
