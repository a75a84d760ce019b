"""pyVmomi data objects made quickly, and the names of the API version that is spoken.

pyVmomi's own constructor walks every property of a class on every call; a page of 500 machines needs some twenty
thousand objects, so `data` copies a prepared set of defaults instead. Values are not checked here: the tests check
a whole fleet's objects field by field.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from pyVmomi import VmomiSupport

VERSION = "vim.version.v8_0_3_0"
VERSION_ID = "8.0.3.0"
NAMESPACE = "urn:vim25"


@cache
def _defaults(kind: type) -> tuple[dict[str, Any], tuple[tuple[str, type], ...]]:
    """(property -> default, the list properties with their types) of a data class."""
    values: dict[str, Any] = {}
    lists: list[tuple[str, type]] = []
    for info in kind._GetPropertyList():  # type: ignore[attr-defined]
        if issubclass(info.type, list):
            lists.append((info.name, info.type))
        elif info.flags & VmomiSupport.F_OPTIONAL:
            values[info.name] = None
        elif info.type is bool:
            values[info.name] = False
        elif issubclass(info.type, (int, float)):
            values[info.name] = info.type(0)
        elif issubclass(info.type, str) and not issubclass(info.type, VmomiSupport.Enum):
            values[info.name] = ""
        else:
            values[info.name] = None
    return values, tuple(lists)


def data(kind: Any, **values: Any) -> Any:
    """One data object of class ``kind`` with these properties set."""
    made = kind.__new__(kind)
    defaults, lists = _defaults(kind)
    fields = made.__dict__
    fields.update(defaults)
    for name, listing in lists:
        fields[name] = listing()
    fields.update(values)
    return made


def shared(value: Any) -> Any:
    """Mark a data object that is never changed again and stands in many parents: its XML is kept."""
    value.__dict__["_memo"] = {}
    return value


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as vSphere's date (UTC)."""
    return datetime.fromtimestamp(seconds, UTC)


def known_versions() -> tuple[str, ...]:
    """Version ids older than ours that a client may ask for, newest first."""
    parents = VmomiSupport.GetVersionParents(VERSION)
    ids = {VmomiSupport.versionIdMap[name] for name in parents if name.startswith("vim.version.")}
    numbered = [text for text in ids if text != VERSION_ID and text.replace(".", "").isdigit()]
    return tuple(sorted(numbered, key=lambda text: [int(part) for part in text.split(".")], reverse=True))
