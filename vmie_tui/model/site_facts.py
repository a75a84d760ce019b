"""A site's own corrections of the documented facts, laid over them: what AWS has changed since they were read.

The file has the tables of the files in ``facts``, each below that file's name, and says where it knows it from:

    source = "AWS support, case 1234"
    seen = "2026-12-01"

    [limits.limits.import.import_image_disk_max]
    value_tib = 16

    [[guests.operating_systems.linux]]
    id = "debian-13"
    name = "Debian"
    versions = "13"
    kernels = ["6.12"]
    bits = [64]

An entry of a list goes by its ``id``: one that is there is changed, another one is added.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any

VARIABLE = "VMIE_FACTS_FILE"
SITE = "site"  # the source of a corrected fact
_ABOUT = ("source", "seen")


def read(path: Path, known: Collection[str]) -> dict[str, Any]:
    """The corrections of a file, by the names of the facts' files (``known``), with ``source`` and ``seen``.

    Raises OSError, and ValueError in words for what no corrections can be.
    """
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the file is not valid TOML: {error}") from error
    for key in _ABOUT:
        if not isinstance(data.get(key), str) or not data[key].strip():
            raise ValueError(f'it must say where its facts are from: source = "...", and when: seen = "{date.today()}"')
    try:
        date.fromisoformat(data["seen"])
    except ValueError:
        raise ValueError(f"seen must be a day such as {date.today()}, not {data['seen']!r}") from None
    unknown = [name for name in data if name not in known and name not in _ABOUT]
    if unknown:
        raise ValueError(f"there are no facts named {unknown[0]!r}; there are {', '.join(sorted(known))}")
    if len(data) == len(_ABOUT):
        raise ValueError("it corrects nothing")
    return data


def laid_over(table: Mapping[str, Any], change: Any, place: str) -> dict[str, Any]:
    """The table with a change; ValueError names the place of what does not fit the facts as they are."""
    if not isinstance(change, dict):
        raise ValueError(f"{place} is a table")  # noqa: TRY004 - the user's mistake, not the caller's
    made = dict(table)
    for key, value in change.items():
        where = f"{place}.{key}"
        if key not in table:
            raise ValueError(f"there is no {where}; there is {', '.join(sorted(map(str, table)))}")
        made[key] = _changed(table[key], value, where)
    if not any(isinstance(value, dict | list) for value in change.values()):
        made["from_page"] = SITE
    return made


def _changed(old: Any, new: Any, where: str) -> Any:
    if isinstance(old, dict):
        return laid_over(old, new, where)
    if isinstance(old, list) and old and all(isinstance(entry, dict) and "id" in entry for entry in old):
        return _entries(old, new, where)
    numbers = (
        isinstance(old, int | float) and isinstance(new, int | float) and isinstance(old, bool) == isinstance(new, bool)
    )
    if not numbers and type(new) is not type(old):
        raise ValueError(f"{where} is {_kind(old)}, not {_kind(new)}")
    return new


def _entries(old: list[dict[str, Any]], new: Any, where: str) -> list[dict[str, Any]]:
    """A list of entries with ids."""
    if not isinstance(new, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("id"), str) for entry in new
    ):
        raise ValueError(f"{where} is a list of tables, each with an id: [[{where}]]")
    made = {entry["id"]: entry for entry in old}
    needed = set.intersection(*(set(entry) for entry in old)) - {"seeds", "from_page"}
    allowed = set.union(*(set(entry) for entry in old))
    for entry in new:
        ident = entry["id"]
        if missing := needed - set(entry) - set(made.get(ident, ())):
            raise ValueError(f"{where} {ident!r} lacks {', '.join(sorted(missing))}")
        if strange := set(entry) - allowed:
            raise ValueError(
                f"{where} {ident!r} has no {', '.join(sorted(strange))}; it may have {', '.join(sorted(allowed))}"
            )
        like = made.get(ident) or {key: value for other in old for key, value in other.items()}
        for key, value in entry.items():
            if key in like:
                _changed(like[key], value, f"{where}.{ident}.{key}")
        made[ident] = {**made.get(ident, {}), **entry, "from_page": SITE}
    return list(made.values())


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    words: dict[type, str] = {str: "a text", list: "a list", dict: "a table"}
    return words.get(type(value), "something else")
