"""The questions of a replication's form, and what it says of the machines below them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from vmie_tui.model.errors import Problem
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.form_option import Option
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import Route
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.replication import Verify
from vmie_tui.model.verdict import Look, judge
from vmie_tui.operations.import_plan import VM
from vmie_tui.operations.replication_plan import KINDS, NOW, ONCE, ReplicationDraft, edit_draft, schedule_words
from vmie_tui.screens.frame.sections import YES_NO, Group, Question, same
from vmie_tui.widgets.machine_detail import finding_lines, heading
from vmie_tui.widgets.machines import verdict_cell
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
            Question("kind", "Copies", options=KINDS, inline=False),
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


def groups(draft: ReplicationDraft) -> tuple[Group[ReplicationDraft], ...]:
    """An edit asks for the next run instead of the first."""
    if draft.edit is None:
        return GROUPS
    schedule = GROUPS[0]
    at: Question[ReplicationDraft] = Question("start", "Next run", "as it is")
    asked = tuple(at if question.key == at.key else question for question in schedule.questions)
    return replace(schedule, questions=asked), *GROUPS[1:]


def blockers(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in found if finding.severity is Severity.BLOCKER)


def form_lines(
    draft: ReplicationDraft,
    found: Found,
    problem: Problem | None,
    refused: Mapping[str, Problem],
    cells: int,
    *,
    seen: Mapping[str, Preflight],
) -> list[Line]:
    """What went wrong, each machine with its findings, what holds for all of them, and the command.

    ``refused``: those that were not started, by name; ``seen``: the looks into disks there were, by `Machine.key`.
    Machines with blockers come first.
    """
    lines: list[Line] = []
    if problem is not None:
        lines += [*problem_lines(problem, cells, margin=" ", retry="^r asks again."), ()]
    wrong = draft.start_problem()
    if wrong is not None:
        lines += [*problem_lines(wrong, cells, margin=" ", retry=""), ()]
    for name, why in refused.items():
        lines.append(((f" {clean(name)} was not {'saved' if draft.edit else 'started'}", "bad"),))
        lines += problem_lines(why, cells, margin="  ", retry="^s tries again.")
    ordered = sorted(draft.machines, key=lambda machine: not blockers(found.get(machine.moid, ())))
    alone = len(ordered) == 1
    joined = dict(found)
    for machine in ordered:
        if machine.moid in found:
            known = seen.get(machine.key)
            if known is not None:
                joined[machine.moid] = known.join(found[machine.moid], draft.way)
            lines += _machine_lines(machine, joined[machine.moid], known, cells, notes=alone)
    if not draft.machines:
        for finding in found.get("", ()):
            lines += finding_lines(finding, cells, indent=" ")
    if not alone:
        lines += _notes(ordered, joined, cells)
    return [*lines, *_command_lines(draft, cells)]


def _machine_lines(
    machine: Machine, found: Sequence[Finding], known: Preflight | None, cells: int, *, notes: bool
) -> list[Line]:
    verdict = judge(found, known.look if known is not None else Look.NONE)
    lines: list[Line] = [((f" {clean(machine.name)}  ", "title"), verdict_cell(verdict))]
    for finding in found:
        if notes or finding.severity is not Severity.INFO:
            said = replace(finding, subject="" if finding.subject == machine.name else finding.subject)
            lines += finding_lines(said, cells - 1, indent="   ")
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
    same, why_not = command(draft)
    lines = [(), heading("The same by hand" if why_not else "The same by hand: ^y copies it", cells)]
    return lines + paragraph(f"None: {why_not}." if why_not else same, cells - 1, "dim", ((" ", ""),), 3)


def command(draft: ReplicationDraft) -> tuple[str, str]:
    """The `vmie-tui` command that does the same; or "", and why there is none."""
    words = ["vmie-tui", "--profile", draft.profile, "replicate"]
    if draft.edit is None:
        created = [*words, "create", *(machine.path for machine in draft.machines), *_options(draft)]
        return shlex.join([*created, *_tags(draft)]), ""
    before = edit_draft(draft.vcenter, draft.machines, draft.edit)
    changed = frozenset(key for key in draft.asked if getattr(draft, key) != getattr(before, key))
    if changed & _HERE_ONLY or ("tags" in changed and not draft.tags):
        return "", "the command line cannot change this"
    options = [*_options(draft, changed), *(_tags(draft) if "tags" in changed else ())]
    return (shlex.join([*words, "edit", draft.edit.id, *options]), "") if options else ("", "nothing is changed yet")


_HERE_ONLY = frozenset({"route", "ena", "root_device"})  # a replication's plan is settled by the machine for these
_TEXTS = {
    "every": "--every",
    "keep": "--keep",
    "route": "--route",
    "region": "--region",
    "role_name": "--role-name",
    "root_device": "--root-device",
    "verify": "--verify",
    "ami_name": "--ami-name",
    "description": "--description",
    "kms_key": "--kms-key-id",
    "group": "--group",
    "order": "--order",
}


def _options(draft: ReplicationDraft, changed: frozenset[str] | None = None) -> Iterator[str]:
    """Of the answers that matter; of an edit those that ``changed``, empty ones too."""
    wanted = draft.asked if changed is None else changed
    if changed is None and draft.kind == ONCE:
        yield "--once"
    for key, option in _TEXTS.items():
        value = str(getattr(draft, key))
        if key in wanted and (value or changed is not None):
            yield from (option, value)
    if "start" in wanted and draft.start:
        at = NOW if draft.start.lower() == NOW else _iso(draft.start_at() or draft.now)
        yield from ("--start" if changed is None else "--next-run", at)
    if "licence" in wanted:
        yield from ("--license", draft.licence.lower() or "auto")
    for key, yes, no in (
        ("quiesce", "--quiesce", "--no-quiesce"),
        ("encrypted", "--encrypted", "--not-encrypted" if changed else ""),
        ("ena", "", "--no-ena"),
    ):
        if key in wanted and (word := yes if getattr(draft, key) else no):
            yield word


def _tags(draft: ReplicationDraft) -> Iterator[str]:
    for key, value in draft.tag_table().items():
        yield from ("--tag", f"{key}={value}")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="seconds")
