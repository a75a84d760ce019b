"""The SQLite that keeps our files: Python's own, or the one of the sqlean.py wheel where Python's is too old.

A process must reach one file through one copy of SQLite only, or the locks of one copy are lost by the other: so the
choice is made once, here, for everything that opens a database.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError

OLDEST = (3, 35, 0)  # the workflow engine reads back what it changes: RETURNING
WITH_SUBSEC = (3, 42, 0)  # unixepoch('subsec'), which the engine asks for from Python 3.12 on
MILLISECONDS = frozenset({"subsec", "subsecond"})


def is_new_enough(module: ModuleType | None) -> bool:
    """Whether this DB-API module brings an SQLite that the workflow engine can work with."""
    return module is not None and module.sqlite_version_info >= OLDEST


def _pythons_own() -> ModuleType | None:
    try:
        import sqlite3
    except ImportError:  # a Python that was built without it
        return None
    return sqlite3


def _of_the_wheel() -> ModuleType | None:
    with _own_symbols_first(), contextlib.suppress(ImportError):  # there is no wheel for every platform
        return importlib.import_module("sqlean.dbapi2")
    return None


@contextlib.contextmanager
def _own_symbols_first() -> Iterator[None]:
    """Let a library that is loaded now call its own SQLite even where the process holds another one."""
    flag = getattr(os, "RTLD_DEEPBIND", 0)  # of glibc
    before = sys.getdlopenflags()
    sys.setdlopenflags(before | flag)
    try:
        yield
    finally:
        sys.setdlopenflags(before)


@cache
def chosen() -> ModuleType | None:
    """The DB-API module to use; None where Python has no SQLite and the wheel is not installed."""
    own = _pythons_own()
    return own if is_new_enough(own) else next(filter(is_new_enough, [_of_the_wheel()]), own)


def driver() -> ModuleType:
    """The DB-API module to use. Raises ServiceError LOCAL when no SQLite here is new enough."""
    found = chosen()
    if found is None or not is_new_enough(found):
        raise ServiceError(
            ErrorKind.LOCAL,
            f"{in_words(found)}, and vmie-tui needs {'.'.join(map(str, OLDEST[:2]))} or newer",
            remedy="Use a Python with a newer SQLite, or install the Python package sqlean.py beside vmie-tui",
        )
    return found


def in_words(module: ModuleType | None) -> str:
    """Which SQLite a module brings, and where from."""
    version = ".".join(map(str, sys.version_info[:3]))
    if module is None:
        return f"Python {version} comes without SQLite"
    origin = f"Python {version}" if module.__name__.startswith("sqlite3") else "the package sqlean.py"
    return f"the SQLite of {origin} is {module.sqlite_version}"


def prepare(connection: Any) -> None:
    """Give a new DB-API connection what its SQLite lacks: unixepoch('subsec').

    On every Python, and whoever opens the file: the engine's tables name the function in their defaults once they were
    made on Python 3.12 or newer.
    """
    if driver().sqlite_version_info < WITH_SUBSEC:
        connection.create_function("unixepoch", 1, _unixepoch)
        connection.execute("PRAGMA trusted_schema=ON")  # else defaults may not call functions of the program


def _unixepoch(modifier: object) -> float:
    """Now, in seconds since 1970, whole milliseconds like SQLite's own."""
    if modifier not in MILLISECONDS:
        raise ValueError(modifier)
    return round(time.time(), 3)
