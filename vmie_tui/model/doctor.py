"""What doctor found: checks in groups, and for what is wrong the exact changes that put it right."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vmie_tui.model.formatting import plain

Json = dict[str, Any]
CONTEXT_LINES = 2


class CheckState(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def glyph(self) -> str:
        return {"ok": "✔", "warning": "▲", "failed": "✖", "skipped": "–"}[self.value]


_ORDER = (CheckState.SKIPPED, CheckState.OK, CheckState.WARNING, CheckState.FAILED)


class Group(StrEnum):
    """What a check is about; in the order in which they are shown."""

    LOCAL = "local"
    AWS = "aws"
    REGION = "region"
    BUCKET = "bucket"
    ROLE = "role"
    PERMISSIONS = "permissions"
    VCENTER = "vcenter"

    @property
    def label(self) -> str:
        return _TITLES[self]


_TITLES = {
    Group.LOCAL: "This machine",
    Group.AWS: "AWS sign-in",
    Group.REGION: "AWS Region",
    Group.BUCKET: "Bucket",
    Group.ROLE: "Service role",
    Group.PERMISSIONS: "AWS permissions of this profile",
    Group.VCENTER: "vCenter",
}


class Feature(StrEnum):
    """What one wants to do; permissions and some checks are asked for only when it is wanted."""

    IMPORT = "import"
    DIRECT = "direct"
    REPLICATE = "replicate"
    INSTANCE = "instance"
    EXPORT_INSTANCE = "export-instance"
    EXPORT_IMAGE = "export-image"
    LAUNCH = "launch"
    TASKS = "tasks"
    FIXES = "fixes"
    LICENCES = "licences"

    @property
    def label(self) -> str:
        return _FEATURES[self]


_FEATURES = {
    Feature.IMPORT: "Import through S3",
    Feature.DIRECT: "Write snapshots directly, register an image",
    Feature.REPLICATE: "Replicate running machines, cut over",
    Feature.INSTANCE: "Import as an instance",
    Feature.EXPORT_INSTANCE: "Export an instance",
    Feature.EXPORT_IMAGE: "Export an image",
    Feature.LAUNCH: "Test launch, copies and volumes",
    Feature.TASKS: "List and cancel tasks",
    Feature.FIXES: "Set up role and bucket",
    Feature.LICENCES: "Licence configurations on images",
}
USUAL_FEATURES = frozenset(Feature) - {Feature.LICENCES}


@dataclass(frozen=True, slots=True)
class Change:
    """One request, exactly as it would be sent."""

    operation: str  # ``service:Operation``
    target: str
    before: Mapping[str, Any]  # what it changes, for people to compare; empty for what is new
    after: Mapping[str, Any]
    request: Mapping[str, Any]  # the operation's parameters

    @property
    def diff(self) -> tuple[str, ...]:
        """The lines of a unified diff, without file names and line numbers."""
        old, new = _lines(self.before), _lines(self.after)
        lines = list(difflib.unified_diff(old, new, lineterm="", n=CONTEXT_LINES))
        return tuple(line for line in lines[2:] if not line.startswith("@@"))

    def to_json(self) -> Json:
        return {
            "operation": self.operation,
            "target": self.target,
            "before": dict(self.before),
            "after": dict(self.after),
            "request": dict(self.request),
        }


def _lines(value: Mapping[str, Any]) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False).splitlines() if value else []


@dataclass(frozen=True, slots=True)
class Fix:
    """What would put a check right."""

    id: str
    words: str  # in one line
    changes: tuple[Change, ...]  # in the order in which they are made

    def to_json(self) -> Json:
        return {"id": self.id, "words": self.words, "changes": [change.to_json() for change in self.changes]}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    id: str
    group: Group
    title: str
    state: CheckState
    reason: str = ""  # what was seen
    remedy: str = ""  # what to do
    fact: str = ""  # where it is documented
    fix: Fix | None = None

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "group": self.group.value,
            "title": self.title,
            "state": self.state.value,
            "reason": self.reason,
            "remedy": self.remedy,
            "fact": self.fact,
            "fix": self.fix.to_json() if self.fix else None,
        }


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All checks, in the order of their groups."""

    profile: str
    checks: tuple[Check, ...]

    @property
    def worst(self) -> CheckState:
        return max((check.state for check in self.checks), key=_ORDER.index, default=CheckState.SKIPPED)

    @property
    def failed(self) -> tuple[Check, ...]:
        return self._in(CheckState.FAILED)

    @property
    def warnings(self) -> tuple[Check, ...]:
        return self._in(CheckState.WARNING)

    @property
    def fixable(self) -> tuple[Check, ...]:
        """Those that can be put right here."""
        return tuple(check for check in self.checks if check.fix is not None)

    def check(self, ident: str) -> Check:
        """The check of this id; KeyError when there is none."""
        for check in self.checks:
            if check.id == ident:
                return check
        raise KeyError(ident)

    def _in(self, state: CheckState) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.state is state)

    def to_json(self) -> Json:
        return {
            "profile": self.profile,
            "worst": self.worst.value,
            "checks": [check.to_json() for check in self.checks],
        }


# -- as Markdown, for a ticket or for an administrator


def counted(checks: tuple[Check, ...]) -> str:
    """``✖ 2  ▲ 1  ✔ 20  – 3``, the worst first; states that none has are left out."""
    order = (CheckState.FAILED, CheckState.WARNING, CheckState.OK, CheckState.SKIPPED)
    counts = [(state.glyph, sum(check.state is state for check in checks)) for state in order]
    return "  ".join(f"{glyph} {count}" for glyph, count in counts if count)


def markdown(report: DoctorReport) -> str:
    """All checks by group, with the remedy and the exact changes of what is wrong."""
    lines = [f"# Setup of {plain(report.profile)}", "", counted(report.checks), ""]
    for group in Group:
        checks = [check for check in report.checks if check.group is group]
        if checks:
            lines += [f"## {group.label}", ""]
            for check in checks:
                lines += _check_lines(check)
            lines.append("")
    return "\n".join(lines)


def _check_lines(check: Check) -> list[str]:
    lines = [f"- {check.state.glyph} **{_one_line(check.title)}** {_one_line(check.reason)}".rstrip()]
    if check.remedy and check.state is not CheckState.OK:
        lines.append(f"  Remedy: {_one_line(check.remedy)}")
    if check.fix is not None:
        lines.append(f"  Fix: {_one_line(check.fix.words)}")
        for change in check.fix.changes:
            lines += ["", f"  {change.operation} {_one_line(change.target)}", "", "  ```diff"]
            lines += [f"  {plain(line)}" for line in change.diff]
            lines += ["  ```", ""]
    return lines


def _one_line(text: str) -> str:
    return plain(" ".join(text.split()))
