"""The common part of the five operations that list tasks: ids, filters, pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult

from vmie_tui.simulators.aws.moto_extensions import refuse

MAX_PAGE, USUAL_PAGE = 1000, 100


@dataclass(frozen=True, slots=True)
class Listed:
    """One task as a list knows it; ``tags`` and ``view`` are asked for only when they are needed."""

    id: str
    state: str
    tags: Callable[[], Mapping[str, str]]
    view: Callable[[], dict[str, Any]]


def answer(
    response: Any,
    entries: Iterable[Listed],
    *,
    key: str,
    ids: str,
    missing: tuple[str, str],
    filters: bool = True,
    paged: bool = True,
) -> ActionResult:
    """The tasks asked for under ``key``. ``ids`` is the parameter that names some of them, ``missing`` the code and
    text (with ``{id}``) for one that is not there; ``filters`` and ``paged``: whether the call has them."""
    known = {entry.id: entry for entry in entries}
    wanted = [str(ident) for ident in response._get_param(ids) or ()]
    for ident in wanted:
        if ident not in known:
            raise refuse(missing[0], missing[1].format(id=ident))
    chosen = [entry for entry in known.values() if not wanted or entry.id in wanted]
    if filters:
        chosen = filtered(chosen, response._filters_from_querystring())
    if not paged:
        return ActionResult({key: [entry.view() for entry in chosen]})
    page, token = _page(chosen, response._get_param("MaxResults"), str(response._get_param("NextToken") or ""))
    found: dict[str, Any] = {key: [entry.view() for entry in page]}
    if token:
        found["NextToken"] = token
    return ActionResult(found)


def filtered(entries: Sequence[Listed], filters: Mapping[str, Sequence[str]]) -> list[Listed]:
    """Those that pass all filters: task-state, tag:<key>, tag-key."""
    chosen = list(entries)
    for name, values in filters.items():
        if name == "task-state":
            chosen = [entry for entry in chosen if entry.state in values]
        elif name == "tag-key":
            chosen = [entry for entry in chosen if set(values) & set(entry.tags())]
        elif name.startswith("tag:"):
            chosen = [entry for entry in chosen if entry.tags().get(name[4:]) in values]
        else:
            raise refuse("InvalidParameterValue", f"The filter '{name}' is invalid")
    return chosen


def _page(entries: list[Listed], most: Any, token: str) -> tuple[list[Listed], str]:
    """(entries of the page, token of the next one or ""): a token names the last task that was given."""
    limit = int(most or USUAL_PAGE)
    if not 1 <= limit <= MAX_PAGE:
        text = f"Value ( {limit} ) for parameter maxResults is invalid. Expecting a value between 1 and {MAX_PAGE}."
        raise refuse("InvalidParameterValue", text)
    start = 0
    if token:
        numbers = {entry.id: number for number, entry in enumerate(entries)}
        try:
            start = numbers[base64.urlsafe_b64decode(token).decode()] + 1
        except (KeyError, binascii.Error, UnicodeDecodeError) as error:
            raise refuse("InvalidNextToken", "The token provided is invalid") from error
    page = entries[start : start + limit]
    more = bool(page) and start + limit < len(entries)
    return page, base64.urlsafe_b64encode(page[-1].id.encode()).decode() if more else ""


def tags_of(response: Any, ident: str) -> dict[str, str]:
    """The tags EC2 keeps for a task."""
    tags = response.ec2_backend.describe_tags(filters={"resource-id": [ident]})
    return {str(tag["key"]): str(tag["value"]) for tag in tags}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As the API shows them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what has no value."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
