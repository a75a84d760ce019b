"""The questions of a replication's form, and what it says of the machines below them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from vmie_tui.model.errors import Problem
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import Route
from vmie_tui.model.replication import Verify
from vmie_tui.screens.draft import VM
from vmie_tui.screens.grouped import YES_NO, Group, Question, same
from vmie_tui.screens.replication_draft import NOW, ONCE, ReplicationDraft, schedule_words
from vmie_tui.widgets.choice import Option
from vmie_tui.widgets.machine_detail import finding_lines, heading
from vmie_tui.widgets.machines import verdict
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean, join, paragraph

Found = Mapping[str, tuple[Finding, ...]]  # by the machine's moid


def _ami_words(draft: ReplicationDraft) -> str:
    return join([draft.ami_name, draft.tags or "no tags"], ", ")


def _place_words(draft: ReplicationDraft) -> str:
    role = draft.role_name if "role_name" in draft.asked else ""
    return join([draft.region, role, "encrypted" if draft.encrypted else "not encrypted"], ", ")


def _group_words(draft: ReplicationDraft) -> str:
    return f"{draft.group}, order {draft.order}" if draft.group else "none: it is started alone"


GROUPS: tuple[Group[ReplicationDraft], ...] = (
    Group(
        "schedule",
        "Schedule",
        (
            Question("kind", "Copies", options=(Option("", ""),), inline=False),
            Question("every", "Every hours", "1 to 24"),
            Question("start", "First run", "now, +2h, 2026-03-04 15:30, Unix seconds"),
            Question("keep", "Keep AMIs", "newest so many, older ones are removed; 0: all"),
        ),
        schedule_words,
    ),
    Group(
        "how",
        "How",
        (
            Question("route", "Route", options=(Option("", ""),), inline=False),
            Question("licence", "Licence", options=(Option("", ""),), inline=False),
            Question("verify", "Verify", options=same(*(kind.value for kind in Verify))),
            Question("quiesce", "Quiesce guest", options=YES_NO),
            Question("ena", "ENA driver", options=(Option("yes", "in the guest"), Option("", "not there"))),
            Question("root_device", "Root device", "/dev/sda1"),
        ),
        lambda draft: join(["AWS converts" if draft.way is Route.IMAGE_DIRECT else "unmodified", draft.licence], ", "),
    ),
    Group(
        "place",
        "Where",
        (
            Question("region", "Region", "eu-west-1"),
            Question("role_name", "Service role", "vmimport"),
            Question("encrypted", "Encrypt", options=YES_NO),
            Question("kms_key", "KMS key", "empty: the account's default key"),
        ),
        _place_words,
    ),
    Group(
        "ami",
        "AMI",
        (
            Question("ami_name", "AMI name", f"{VM} is the VM's name"),
            Question("description", "Description", "none"),
            Question("tags", "Tags", "key=value, key=value"),
        ),
        _ami_words,
        unfolded=False,
    ),
    Group(
        "group",
        "Group",
        (
            Question("group", "Group", "servers that are started together; empty: none"),
            Question("order", "Order", "those of a lower one first", when=lambda draft: bool(draft.group)),
        ),
        _group_words,
        unfolded=False,
    ),
)


def blockers(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in found if finding.severity is Severity.BLOCKER)


def form_lines(
    draft: ReplicationDraft, found: Found, problem: Problem | None, refused: Mapping[str, Problem], cells: int
) -> list[Line]:
    """What went wrong, each machine with its findings, what holds for all of them, and the command.

    ``refused``: those that were not started, by name. Machines with blockers come first.
    """
    lines: list[Line] = []
    if problem is not None:
        lines += [*problem_lines(problem, cells, margin=" ", retry="^r asks again."), ()]
    for name, why in refused.items():
        lines.append(((f" {clean(name)} was not {'saved' if draft.edit else 'started'}", "bad"),))
        lines += problem_lines(why, cells, margin="  ", retry="^s tries again.")
    ordered = sorted(draft.machines, key=lambda machine: not blockers(found.get(machine.moid, ())))
    alone = len(ordered) == 1
    for machine in ordered:
        if machine.moid in found:
            lines += _machine_lines(machine, found[machine.moid], cells, notes=alone)
    if not draft.machines:
        for finding in found.get("", ()):
            lines += finding_lines(finding, cells, indent=" ", fact=True)
    if not alone:
        lines += _notes(ordered, found, cells)
    return [*lines, *_command_lines(draft, cells)]


def _machine_lines(machine: Machine, found: Sequence[Finding], cells: int, *, notes: bool) -> list[Line]:
    words, style, _ = verdict(found)
    lines: list[Line] = [((f" {clean(machine.name)}  ", "title"), (words, style))]
    for finding in found:
        if notes or finding.severity is not Severity.INFO:
            lines += finding_lines(finding, cells - 1, indent="   ", fact=True)
    return lines


def _notes(machines: Sequence[Machine], found: Found, cells: int) -> list[Line]:
    """What is no trouble, once for all machines it is said of."""
    said: dict[str, tuple[Finding, list[str]]] = {}
    for machine in machines:
        for finding in found.get(machine.moid, ()):
            if finding.severity is Severity.INFO:
                said.setdefault(finding.what, (finding, []))[1].append(machine.name)
    lines: list[Line] = [((" Good to know", "title"),)] if said else []
    for finding, names in said.values():
        who = "" if len(names) == len(machines) else f" ({', '.join(names)})"
        why = f". {finding.why}" if finding.why else ""
        lines += paragraph(f"{finding.what}{who}{why}.", cells - 1, "", (("   · ", "dim"),))
    return lines


def _command_lines(draft: ReplicationDraft, cells: int) -> list[Line]:
    if draft.mistakes():
        return []
    lines = [(), heading("The same by hand: ^y copies", cells)]
    return lines + paragraph(command(draft), cells - 1, "dim", ((" ", ""),), 3)


def command(draft: ReplicationDraft) -> str:
    """The `vmie-tui` command that does the same."""
    words = ["vmie-tui", "--profile", draft.profile, "replicate"]
    words += ["edit", draft.edit.id] if draft.edit else ["create", *(machine.path for machine in draft.machines)]
    return shlex.join([*words, *_options(draft)])


def _options(draft: ReplicationDraft) -> Iterator[str]:
    if draft.kind != ONCE:
        yield from ("--every", draft.every)
    elif draft.edit is None:
        yield "--once"
    if draft.start and draft.start.lower() != NOW:
        yield from ("--next-run" if draft.edit else "--start", _iso(draft.start_at() or draft.now))
    elif draft.edit is not None and draft.start:
        yield from ("--next-run", NOW)
    asked = draft.asked - draft.fixed.keys()
    for option, key in _TEXTS.items():
        value = str(getattr(draft, key))
        if key in asked and (value or draft.edit is not None):
            yield from (option, value)
    if "licence" in asked:
        yield from ("--license", draft.licence.lower() or "auto")
    if not draft.quiesce or draft.edit is not None:
        yield "--quiesce" if draft.quiesce else "--no-quiesce"
    if draft.encrypted and "encrypted" in asked:
        yield "--encrypted"
        yield from ("--kms-key-id", draft.kms_key) if draft.kms_key else ()
    elif draft.edit is not None and "encrypted" in asked:
        yield "--not-encrypted"
    if "ena" in asked and not draft.ena:
        yield "--no-ena"
    for key, value in draft.tag_table().items():
        yield from ("--tag", f"{key}={value}")


_TEXTS = {
    "--keep": "keep",
    "--route": "route",
    "--region": "region",
    "--role-name": "role_name",
    "--root-device": "root_device",
    "--verify": "verify",
    "--ami-name": "ami_name",
    "--description": "description",
    "--group": "group",
    "--order": "order",
}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="seconds")
