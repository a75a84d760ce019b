"""Rows of the job database are not trusted: each is checked by type and size before a value is made of it.

A row that this version did not write (a newer version's, a damaged one, one that somebody put there) is logged once and
left out; it keeps no other row from being read.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import sqlalchemy as sa

from vmie_tui.model.errors import ErrorKind, ServiceError

T = TypeVar("T")
MOST_JSON = 64 << 20  # characters of one JSON column: the samples of a disk of 64 TiB are far below
MOST_TEXT = 1 << 20  # characters of one text column
# What building a value from a row of another shape may raise.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
_PYTHON: tuple[tuple[type[Any], tuple[type, ...]], ...] = (
    (sa.Boolean, (bool,)),
    (sa.Integer, (int,)),
    (sa.Float, (int, float)),
    (sa.String, (str,)),
    (sa.LargeBinary, (bytes,)),
)
_logger = logging.getLogger("vmie_tui.store")
_told: set[tuple[str, str]] = set()
_lock = threading.Lock()


class StoredJson(sa.types.TypeDecorator[Any]):
    """A JSON column of which a text that is no JSON, or far too long, is read as None, not as an error of the query."""

    impl = sa.JSON
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any] | None:
        decode = super().result_processor(dialect, coltype)

        def read(value: Any) -> Any:
            if value is None or decode is None:  # PostgreSQL keeps JSON only as JSON, and its driver decodes it
                return value
            if not isinstance(value, str) or len(value) > MOST_JSON:
                return None
            try:
                return decode(value)
            except (ValueError, RecursionError):
                return None

        return read


def typed(table: sa.Table, row: sa.RowMapping) -> None:
    """Raise TypeError or ValueError unless every column of ``table`` in ``row`` holds what such a column may hold.

    SQLite keeps any value in any column.
    """
    for column in table.columns:
        value = row[column.name]
        if value is None:
            if not column.nullable:
                raise ValueError(f"{column.name} is missing or no JSON")
            continue
        if isinstance(column.type, StoredJson):
            if not isinstance(value, dict | list):
                raise TypeError(f"{column.name} is {type(value).__name__}")
            continue
        allowed = next((types for kind, types in _PYTHON if isinstance(column.type, kind)), (object,))
        if not isinstance(value, allowed):
            raise TypeError(f"{column.name} is {type(value).__name__}")
        if isinstance(value, str) and len(value) > MOST_TEXT:
            raise ValueError(f"{column.name} has {len(value)} characters")


def readable(what: str, rows: Iterable[sa.RowMapping], make: Callable[[sa.RowMapping], T]) -> list[T]:
    """What ``make`` makes of each row; those it cannot read are left out, and logged once. ``what``: "job", ..."""
    found = []
    for row in rows:
        try:
            found.append(make(row))
        except UNREADABLE as error:
            _tell(what, str(row["id"]), error)
    return found


def one(what: str, row: sa.RowMapping, make: Callable[[sa.RowMapping], T]) -> T:
    """What ``make`` makes of a row that cannot be left out: a job, or one of its disks. Raises ServiceError CORRUPT."""
    try:
        return make(row)
    except UNREADABLE as error:
        raise ServiceError(
            ErrorKind.CORRUPT,
            f"what the job database holds of this {what} cannot be read",
            subject=str(row["id"] if "id" in row else row["job_id"]),
            remedy="A newer vmie-tui may have written it: use that one. Otherwise see who else may write to the "
            "database",
            detail=_words(error),
        ) from None


def _tell(what: str, ident: str, error: Exception) -> None:
    with _lock:
        known = (what, ident) in _told
        _told.add((what, ident))
    if not known:
        _logger.warning("%s %s cannot be read by this version: %s", what, ident[:100], _words(error))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
