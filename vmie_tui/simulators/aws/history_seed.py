"""Generates a history: plausible tasks of all five kinds, including every documented failure."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.task import TaskKind
from vmie_tui.simulators.aws.history import Past
from vmie_tui.simulators.aws.import_tasks import NO_OBJECT, WRONG_LICENCE
from vmie_tui.simulators.aws.task_engine import KEPT_SECONDS

HOUR, DAY = 3600.0, 86_400.0
OPERATIONS = {
    "ImportImage": TaskKind.IMPORT_IMAGE,
    "ImportSnapshot": TaskKind.IMPORT_SNAPSHOT,
    "CreateInstanceExportTask": TaskKind.EXPORT_INSTANCE,
    "ExportImage": TaskKind.EXPORT_IMAGE,
    "ImportInstance": TaskKind.CONVERSION,
    "ImportVolume": TaskKind.CONVERSION,
}
PREFIXES = {
    TaskKind.IMPORT_IMAGE: "import-ami",
    TaskKind.IMPORT_SNAPSHOT: "import-snap",
    TaskKind.EXPORT_INSTANCE: "export-i",
    TaskKind.EXPORT_IMAGE: "export-ami",
}
_KINDS = (  # how often each is met
    *(TaskKind.IMPORT_IMAGE,) * 9,
    *(TaskKind.IMPORT_SNAPSHOT,) * 4,
    *(TaskKind.EXPORT_INSTANCE,) * 2,
    *(TaskKind.EXPORT_IMAGE,) * 3,
    *(TaskKind.CONVERSION,) * 2,
)
_USUAL_SECONDS = {  # of a disk of 40 GiB
    TaskKind.IMPORT_IMAGE: 40 * 60.0,
    TaskKind.IMPORT_SNAPSHOT: 14 * 60.0,
    TaskKind.EXPORT_INSTANCE: 35 * 60.0,
    TaskKind.EXPORT_IMAGE: 25 * 60.0,
    TaskKind.CONVERSION: 45 * 60.0,
}
_ROLES = ("web", "app", "db", "files", "erp", "crm", "build", "mail", "proxy", "report", "print", "queue", "cache")
_PLACES = ("dub", "fra", "nyc", "sin")
_OWNERS = ("m.keane", "t.weiss", "a.osei", "l.rossi", "j.park")
_PROJECTS = ("dc-exit-dublin", "frankfurt-lease", "erp-2026", "lab-clean-up")
_MORE_FAILURES = {
    TaskKind.IMPORT_IMAGE: (NO_OBJECT, WRONG_LICENCE.format(system="Linux")),
    TaskKind.IMPORT_SNAPSHOT: (NO_OBJECT,),
}


def documented_failures() -> list[tuple[TaskKind, str]]:
    """Every documented error that a task can end with, for each kind of task it is documented for."""
    found = []
    for entry in facts.load("errors")["troubleshooting"]["errors"]:
        kinds = dict.fromkeys(OPERATIONS[name] for name in entry["operations"] if name in OPERATIONS)
        found += [(kind, filled(str(entry["message"]))) for kind in kinds]
    return found


def filled(text: str) -> str:
    """A documented message with something in the places of its placeholders."""
    values = {
        "MyBucketName": "acme-import-eu-central-1",
        "RequestID": "5d8b1f0e-7c1d-4b7a-9a0e-2f1f6a1c9f33",
    }
    text = text.replace("<RegionName>", "eu-west-1", 1).replace("<RegionName>", "eu-central-1")
    return re.sub(r"<(\w+)>", lambda match: values.get(match[1], match[0]), text)


def past_tasks(count: int, regions: Sequence[str], now: float, seed: str = "desk") -> list[Past]:
    """``count`` tasks (at least one for each documented failure) spread over ``regions``, the same for the same seed.

    About one in ten still runs, one of those far longer than is usual; as many were cancelled; one in eight ended more
    than a week before ``now``, so that AWS has forgotten it.
    """
    dice = random.Random(f"{seed} {count}")  # noqa: S311 - a story, no secret
    failures = documented_failures()
    more = [(kind, text) for kind, texts in _MORE_FAILURES.items() for text in texts]
    tasks = [
        _past(dice, kind, regions[number % len(regions)], now, text) for number, (kind, text) in enumerate(failures)
    ]
    for number in range(max(0, count - len(failures))):
        region = regions[number % len(regions)] if number < 3 * len(regions) else dice.choice(regions)
        kind, failure = dice.choice(_KINDS), ""
        if dice.random() < 0.12:
            kind, failure = dice.choice((*failures, *more))
        tasks.append(_past(dice, kind, region, now, failure))
    _tell_apart(dice, tasks[len(failures) :], now)
    return tasks


def _tell_apart(dice: random.Random, tasks: Sequence[Past], now: float) -> None:
    """Makes some of them active, some cancelled, some forgotten."""
    for number, task in enumerate(tasks):
        share = dice.random()
        if share < 0.10 and not task.failure:
            task.created = now - task.seconds * dice.random()
        elif share < 0.20 and not task.failure:
            task.cancelled = task.created + task.seconds * dice.uniform(0.1, 0.8)
        elif share < 0.32:
            task.created = now - KEPT_SECONDS - task.seconds - dice.uniform(HOUR, 30 * DAY)
        if number == 0:  # the one that somebody asks about
            task.seconds, task.failure, task.cancelled = 14 * DAY, "", None
            task.created = now - 1.5 * DAY


def _past(dice: random.Random, kind: TaskKind, region: str, now: float, failure: str) -> Past:
    gib = dice.choice((8, 16, 20, 40, 40, 60, 80, 120, 250))
    seconds = _USUAL_SECONDS[kind] * (0.5 + gib / 80) * dice.uniform(0.8, 1.3) * (0.4 if failure else 1.0)
    created = now - seconds - dice.uniform(0.2, 6.0) * DAY
    name = f"{dice.choice(_PLACES)}-{dice.choice(_ROLES)}-{dice.randint(1, 24):02}"
    task = Past(kind, "", region, created, seconds, failure, _tags(dice, name))
    task.values = _values(dice, task, name, gib)
    task.id = _id(dice, task)
    if kind in {TaskKind.EXPORT_INSTANCE, TaskKind.EXPORT_IMAGE}:
        extension = task.values.get("container") or task.values["format"].lower()
        task.values["key"] = f"{task.values['prefix']}{task.id}.{extension}"
    return task


def _hex(dice: random.Random) -> str:
    return f"{dice.getrandbits(68):017x}"


def _id(dice: random.Random, task: Past) -> str:
    if task.kind is TaskKind.CONVERSION:
        return f"import-{'i' if task.values.get('instance') else 'vol'}-{_hex(dice)}"
    return f"{PREFIXES[task.kind]}-{_hex(dice)}"


def _tags(dice: random.Random, name: str) -> dict[str, str]:
    tags = {"vm": name, "owner": dice.choice(_OWNERS), "project": dice.choice(_PROJECTS)}
    if dice.random() < 0.4:
        tags["ticket"] = f"OPS-{dice.randint(1000, 9999)}"
    return tags if dice.random() < 0.8 else {}


def _values(dice: random.Random, task: Past, name: str, gib: int) -> dict[str, Any]:
    """The task's fields other than its state."""
    when = datetime.fromtimestamp(task.created, UTC).strftime("%b %d %H:%M")
    windows = dice.random() < 0.4
    common: dict[str, Any] = {
        "description": f"{when} {name}" if dice.random() < 0.8 else name,
        "bucket": f"acme-{'export' if task.kind.value.startswith('export') else 'import'}-{task.region}",
        "size": int(gib * (1 << 30) * dice.uniform(0.15, 0.6)),
        "gib": gib,
        "platform": "Windows" if windows else "Linux",
        "image": f"ami-{_hex(dice)}",
        "snapshot": f"snap-{_hex(dice)}",
    }
    return common | dict(_own(dice, task, name, windows))


def _own(dice: random.Random, task: Past, name: str, windows: bool) -> Iterator[tuple[str, Any]]:
    match task.kind:
        case TaskKind.IMPORT_IMAGE:
            form = dice.choice(("VMDK", "VMDK", "OVA", "VHD"))
            yield "format", form
            yield "key", f"vms/{name}.{form.lower()}"
            yield "licence", dice.choice(("AWS", "BYOL")) if windows else "BYOL"
        case TaskKind.IMPORT_SNAPSHOT:
            form = dice.choice(("VMDK", "RAW", "VHD"))
            yield "format", form
            yield "key", f"vms/{name}-data.{form.lower()}"
        case TaskKind.EXPORT_INSTANCE:
            target = dice.choice(("vmware", "vmware", "microsoft", "citrix"))
            yield "target", target
            yield "format", "VMDK" if target == "vmware" else "VHD"
            yield "container", "ova" if target == "vmware" and dice.random() < 0.7 else ""
            yield "instance", f"i-{_hex(dice)}"
            yield "prefix", "vms/"
        case TaskKind.EXPORT_IMAGE:
            yield "format", dice.choice(("VMDK", "VHD", "RAW"))
            yield "prefix", "exports/"
        case TaskKind.CONVERSION:
            form = dice.choice(("VMDK", "VHD", "RAW"))
            bucket = f"acme-import-{task.region}"
            yield "format", form
            yield "url", f"https://{bucket}.s3.{task.region}.amazonaws.com/{name}/{name}.{form.lower()}manifest.xml"
            yield "volume", f"vol-{_hex(dice)}"
            if dice.random() < 0.6 or task.failure:
                yield "instance", f"i-{_hex(dice)}"
