"""Names and descriptions made of templates such as ``{vm}-{date}``: wizard, CLI and settings make the same of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

VM = "{vm}"
PLACES = {
    "vm": "the name of the VM, file, object or snapshot",
    "date": "the day, such as 2026-03-04",
    "time": "the time of day, such as 1041",
    "profile": "the profile's name",
    "region": "the Region of the AMI",
}
NOT_IN_AMI_NAME = re.compile(r"[^A-Za-z0-9()\[\] ./\-'@_]")
_PLACE = re.compile(r"\{([^{}]*)\}")


def unknown_place(template: str) -> str:
    """The first ``{word}`` that stands for nothing, with its braces; empty when all are known."""
    return next((found.group(0) for found in _PLACE.finditer(template) if found.group(1) not in PLACES), "")


def places(name: str, when: datetime, *, profile: str = "", region: str = "") -> dict[str, str]:
    """What the places of a template stand for; ``when`` is an aware time, shown as it is on this machine."""
    local = when.astimezone()
    return {"vm": name, "date": f"{local:%Y-%m-%d}", "time": f"{local:%H%M}", "profile": profile, "region": region}


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its places filled; what is no place stays, and what was filled in is not looked at again."""
    return _PLACE.sub(lambda found: values.get(found.group(1), found.group(0)), template)


def ami_name(template: str, values: Mapping[str, str]) -> str:
    """An AMI's name: what AWS does not take in one is replaced in the parts filled in, not in the template itself."""
    return fill(template, {key: NOT_IN_AMI_NAME.sub("-", value) for key, value in values.items()}).strip()
