"""Parameters shared by many operations: tags, descriptions, values left to AWS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.formatting import printable


def without_empty(**values: Any) -> dict[str, Any]:
    """The parameters that are not empty; AWS chooses the others."""
    return {name: value for name, value in values.items() if value}


def short_description(text: str) -> str:
    """Printable, and cut to the documented length: AWS would refuse the whole request otherwise."""
    return printable(text)[: int(facts.limit("export", "description_max_chars")["value"])]


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 takes them."""
    return [{"Key": printable(key), "Value": printable(value)} for key, value in tags.items()]


def tag_specifications(tags: Mapping[str, str], *kinds: str) -> list[dict[str, Any]]:
    """The TagSpecifications that put ``tags`` on new resources of these kinds."""
    return [{"ResourceType": kind, "Tags": tag_list(tags)} for kind in kinds] if tags else []


def task_tags(tags: Mapping[str, str], operation: str) -> list[dict[str, Any]]:
    """The TagSpecifications of an operation that starts a task."""
    return tag_specifications(tags, facts.load("api")["api_model"][operation]["tag_resource_type"])


def tags_of(data: Mapping[str, Any]) -> dict[str, str]:
    """The tags in EC2's description of a resource."""
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in data.get("Tags") or ()}
