"""No regular expression of the product takes more than linear time, whatever text it is given.

`re` holds the interpreter's lock: an expression that backtracks stops every thread of the process. All expressions are
collected from the source, and each is pumped with texts made of its own pieces: twice the text must take less than
three times as long.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]  # the parse tree of `re` has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import vmie_tui
from vmie_tui.known_secrets import _pattern
from vmie_tui.model import facts
from vmie_tui.model.explain import compiled, explain
from vmie_tui.model.rules import systems
from vmie_tui.model.rules.secrets import redacted, secrets_in
from vmie_tui.services.aws.iam.policy_documents import matches

PRODUCT = Path(vmie_tui.__file__).parent
OWN = PRODUCT / "simulators"  # what it reads is ours
FUNCTIONS = frozenset({"compile", "search", "match", "fullmatch", "findall", "finditer", "split", "sub", "subn"})
TINY = 24  # what takes long for so few characters is exponential, and would never end with twice as many
SIZES = (12, TINY, 256, 8000)  # cubic growth must show before the text is long
FLOOR = 0.003  # seconds of processor time: below, the clock's own grain would be measured
NEIGHBOURS = 3.0


@dataclass(frozen=True)
class Expression:
    """An expression, where it stands, and the methods it is used with."""

    where: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]

    def uses(self) -> Iterator[tuple[str, Callable[[Any], object]]]:
        whole = self.methods and self.methods <= {"match", "fullmatch"}
        for method in sorted(self.methods) if whole else ["finditer"]:
            if method == "finditer":
                yield method, lambda text: [None for _ in self.pattern.finditer(text)]
            else:
                yield method, getattr(self.pattern, method)


# -- collecting


def _text(node: ast.expr) -> str | bytes | None:
    """A pattern written out in the source; what is formatted into it stands as a word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "word" for part in node.values)
    return None


def _flags(call: ast.Call) -> int:
    place = {"sub": 4, "subn": 4, "split": 3}.get(_name(call), 2 if _name(call) != "compile" else 1)
    given = call.args[place : place + 1] or [word.value for word in call.keywords if word.arg == "flags"]
    if not given:
        return 0
    names = {node.attr for node in ast.walk(given[0]) if isinstance(node, ast.Attribute)}
    return sum({getattr(re, name).value for name in names})


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _is_re(call: ast.AST) -> bool:
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "re"
        and call.func.attr in FUNCTIONS
    )


def _sources() -> dict[str, ast.Module]:
    files = [path for path in sorted(PRODUCT.rglob("*.py")) if OWN not in path.parents]
    return {str(path.relative_to(PRODUCT)): ast.parse(path.read_text()) for path in files}


def _methods(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """The methods called on names that look like a constant, over all modules."""
    found: dict[str, set[str]] = {}
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in FUNCTIONS and isinstance(node.value, ast.Name):
                name = node.value.id
                found.setdefault(f"{file}:{name}" if name.startswith("_") else name, set()).add(node.attr)
    return found


def _collect() -> tuple[list[Expression], set[str]]:
    """All expressions, and the calls whose pattern is made at run time."""
    trees = _sources()
    methods, found, made = _methods(trees), [], set()
    for file, tree in trees.items():
        named: dict[int, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                pairs = zip(ast.walk(node.targets[0]), ast.walk(node.value), strict=False)
                if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(node.targets[0].elts, node.value.elts, strict=True)
                else:
                    pairs = zip(node.targets[:1], [node.value], strict=True)
                named.update({id(value): target.id for target, value in pairs if isinstance(target, ast.Name)})
        for node in ast.walk(tree):
            if not _is_re(node):
                continue
            assert isinstance(node, ast.Call)
            text = _text(node.args[0])
            name = named.get(id(node), "")
            where = f"{file}:{name or ast.unparse(node.args[0])}"
            if text is None:
                made.add(where)
                continue
            how = {_name(node)} - {"compile"} or methods.get(f"{file}:{name}" if name.startswith("_") else name, set())
            found.append(Expression(where, re.compile(text, _flags(node)), frozenset(how)))
    return found, made


EXPRESSIONS, MADE = _collect()

# Patterns that are made at run time: how each is pumped, by the functions they are in or as they are made.
PUMPED_BELOW = frozenset({
    "known_secrets.py:'|'.join([text, re.escape(lowered), *map(re.escape, _encoded(secret))])",
    "model/explain.py:''.join(out)",
    "settings.py:allowed_text",  # of twelve digits, or one of a few words
    "model/rules/systems.py:words",
    "services/aws/iam/policy_documents.py:fnmatch.translate(text.replace('[', '[[]'))",
    "services/aws/vmie/export_tasks.py:name",  # an escaped name with at most three digits behind it
    "services/disks/guest/linux.py:pattern",  # of names of files, which end after 255 characters
    "operations/import_plan.py:re.escape(self.region) + '[a-z]'",
})  # fmt: skip


# -- pumping


def _pieces(pattern: re.Pattern[Any]) -> list[str]:
    """Texts that parts of the expression match: its literals, and a character for each class."""
    raw = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    pieces: dict[str, None] = {}

    def walk(items: Any) -> str:
        text = ""
        for code, value in items:
            if code is codes.LITERAL:
                text += chr(value)
            elif code is codes.IN:
                text += _member(value)
            elif code in {codes.ANY, codes.NOT_LITERAL}:
                text += "a"
            elif code in {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}:
                inner = walk(value[2])
                pieces[inner] = None
                text += inner * max(1, min(value[0], 40))
            elif code is codes.BRANCH:
                options = [walk(option) for option in value[1]]
                pieces.update(dict.fromkeys(options[:6]))
                text += options[0]
            elif code is codes.SUBPATTERN:
                inner = walk(value[3])
                pieces[inner] = None
                text += inner
            elif code is codes.ATOMIC_GROUP:
                text += walk(value)
            elif code is codes.ASSERT:
                pieces[walk(value[1])] = None
        return text

    whole = walk(parser.parse(raw, pattern.flags & ~re.UNICODE))
    for cut in range(1, min(len(whole), 24)):
        pieces[whole[:cut]] = None
    pieces[whole] = None
    return [piece for piece in pieces if piece]


def _member(options: Any) -> str:
    """A character of a class."""
    negated = options[0][0] is codes.NEGATE
    spaces = {codes.CATEGORY_SPACE: " ", codes.CATEGORY_DIGIT: "7", codes.CATEGORY_WORD: "a"}
    if negated:
        return "a"
    code, value = options[0]
    if code is codes.RANGE:
        return chr(value[0])
    return chr(value) if code is codes.LITERAL else spaces.get(value, "a")


def _hostile(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """(before, what is repeated, after)."""
    pieces = _pieces(pattern)
    singles = [piece for piece in pieces if len(piece) <= 2]
    pumps = dict.fromkeys([" ", "\n", "\t", "\r\n", " \n", "a", "0", "-", ".", '"', "\\", "/", "<", "=", *pieces])
    longest = max(pieces, key=len, default="")
    before = dict.fromkeys(["", '"', "\n", longest, *sorted(pieces, key=len)[-4:]])
    for pump in pumps:
        for first in before:
            for last in ("", "\x00\n"):
                yield first, pump, last
    for one in singles:
        for other in singles:
            if one != other:
                yield "", one + other, "\x00\n"


def _seconds(use: Callable[[Any], object], text: Any, times: int) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        use(text)
        best = min(best, time.process_time() - start)
    return best


def _grows(use: Callable[[Any], object], make: Callable[[int], Any], sizes: tuple[int, ...] = SIZES) -> str:
    """ "" when twice the text takes less than three times as long, else what was measured."""
    for size in sizes:
        once = _seconds(use, make(size), 1)
        if once < FLOOR:
            continue
        if size <= TINY:
            return f"{size} characters take {once:.4f} s"
        for _ in range(3):  # a machine under load may spoil a measurement, never all of them in the same way
            once, twice = _seconds(use, make(size), 2), _seconds(use, make(2 * size), 2)
            if twice < NEIGHBOURS * once:
                break
        else:
            return f"{size} characters take {once:.4f} s, {2 * size} take {twice:.4f} s"
    return ""


def _worst(expression: Expression, sizes: tuple[int, ...] = SIZES) -> str:
    as_bytes = isinstance(expression.pattern.pattern, bytes)
    for method, use in expression.uses():
        for before, pump, after in _hostile(expression.pattern):

            def make(size: int, before: str = before, pump: str = pump, after: str = after) -> str | bytes:
                text = before + pump * (size // len(pump) + 1) + after
                return text.encode("utf-8", "replace") if as_bytes else text

            found = _grows(use, make, sizes)
            if found:
                return f"{method} on {before!r} + {pump!r} * n + {after!r}: {found}"
    return ""


# -- the tests


def test_the_collection_sees_what_there_is() -> None:
    files = {expression.where.partition(":")[0] for expression in EXPRESSIONS}
    assert {"model/rules/secrets.py", "known_secrets.py", "services/disks/formats/qemu.py"} <= files
    assert len(EXPRESSIONS) > 60


def test_every_expression_made_at_run_time_is_pumped_too() -> None:
    assert MADE <= PUMPED_BELOW, "pump it below, then name it in PUMPED_BELOW"


@pytest.mark.parametrize(
    ("pattern", "slow"),
    [
        (r"^\s*addresses:", True),
        (r'createType\s*="?([^"\r\n]*?)"?\s*$', True),
        (r"(?:a+)+b", True),
        (r"\bSP ?(\d+)", False),
        (r"[^\s,;]{3,}", False),
    ],
)
def test_the_pump_tells_slow_from_fast(pattern: str, slow: bool) -> None:
    compiled_one = Expression("here", re.compile(pattern, re.MULTILINE), frozenset({"finditer"}))
    assert bool(_worst(compiled_one)) is slow


@pytest.mark.parametrize("file", sorted({expression.where.partition(":")[0] for expression in EXPRESSIONS}))
def test_no_expression_takes_more_than_linear_time(file: str) -> None:
    slow = {
        expression.where: _worst(expression) for expression in EXPRESSIONS if expression.where.startswith(f"{file}:")
    }
    assert not {where: why for where, why in slow.items() if why}


def _facts_patterns() -> Iterator[str]:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                if key in {"patterns", "pattern"} and isinstance(item, (list, str)):
                    yield from [item] if isinstance(item, str) else [each for each in item if isinstance(each, str)]
                else:
                    yield from walk(item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)

    for name in ("traps", "errors"):
        yield from walk(facts.load(name))


SHORT = (12, TINY, 256, 1200)  # gaps of up to 300 characters each make every one of them slow, though not slower


def test_no_expression_of_the_facts_takes_more_than_linear_time() -> None:
    patterns = sorted(set(_facts_patterns()))
    assert patterns
    slow = {
        pattern: _worst(Expression("facts", compiled(pattern), frozenset({"search"})), SHORT) for pattern in patterns
    }
    assert not {pattern: why for pattern, why in slow.items() if why}


WORDS = (
    "password ", '"password ', '"password": "', "-----BEGIN PRIVATE KEY", "a://b:c", '"x', "\\", "ERROR: ", "% ", "(",
    "Client error ", "a ", " ", "\n", "token-", "'secret'", '"', "cookie", "authorization: ", "eyJaaaaaaaaaa.", "A",
)  # fmt: skip


@pytest.mark.parametrize("use", [redacted, secrets_in, explain, systems.identify], ids=lambda use: str(use.__name__))
def test_functions_over_foreign_text_take_linear_time(use: Callable[..., object]) -> None:
    def run(text: str) -> object:
        getattr(use, "cache_clear", lambda: None)()
        return use(*(text,) * 3) if use is systems.identify else use(text)

    run("what is loaded at the first call")
    slow = {word: _grows(run, lambda size, word=word: '"' + word * (size // len(word))) for word in WORDS}
    assert not {word: why for word, why in slow.items() if why}


@pytest.mark.parametrize(
    "secret", ["pw", "hunter2-hunter2", "0000000000", "\\\\\\", "&#&#&#&#", "a b<c>&'\"%", "%25%25"]
)
def test_the_expression_of_a_secret_takes_linear_time(secret: str) -> None:
    made = _pattern(secret)
    pumps = [secret, secret[:-1], "\\", "&#", "&#0", "0", "%", "%2", "\\u", "\\u00", "&", "a", " "]
    for pump in pumps:
        for before in ("", "&#", secret[:1]):
            assert not _grows(lambda text: made.sub("", text), _repeated(before, pump)), (before, pump)


def _repeated(before: str, pump: str) -> Callable[[int], str]:
    return lambda size: before + pump * (size // len(pump))


@pytest.mark.parametrize("stars", [1, 2, 40])
def test_wildcards_of_a_policy_take_linear_time(stars: int) -> None:
    pattern = "arn:aws:s3:::" + "a*" * stars + "b"
    assert not _grows(lambda text: matches(pattern, text), lambda size: "arn:aws:s3:::" + "a" * size)
    assert matches(pattern, "arn:aws:s3:::" + "a" * stars + "[x]b")
