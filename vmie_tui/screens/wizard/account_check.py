"""What the wizard's review knows of the AWS account the imports go to, and how it says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vmie_tui.model.errors import Problem
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.verdict import Look, judge
from vmie_tui.operations.import_check import check_accounts
from vmie_tui.operations.import_plan import Candidate
from vmie_tui.operations.operations import Operations
from vmie_tui.widgets.machine_detail import finding_lines
from vmie_tui.widgets.machines import verdict_cell
from vmie_tui.widgets.text import Line, paragraph

PATIENCE = 5.0  # seconds the start waits for AWS; the job looks at what matters most by itself


@dataclass(frozen=True, slots=True)
class AccountSeen:
    found: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)  # by candidate's key
    problem: Problem | None = None  # why the account could not be looked at
    asking: bool = False  # AWS was asked and has not answered
    late: bool = False  # for longer than the start should wait

    def of(self, one: Candidate) -> tuple[Finding, ...]:
        return self.found.get(one.key, ())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is found, each once: of several candidates the target is mostly the same."""
        return tuple(dict.fromkeys(finding for found in self.found.values() for finding in found))

    @property
    def holds_up(self) -> bool:
        """Whether the start should wait for it."""
        return self.asking and not self.late


def look(operations: Operations, pairs: Sequence[tuple[Candidate, ImportPlan]]) -> AccountSeen:
    """Ask AWS about the plans' targets. Blocks: call it in a thread."""
    seen = check_accounts([plan for _, plan in pairs], operations.imports.look_at_account)
    return AccountSeen({one.key: found for (one, _), found in zip(pairs, seen.found, strict=True)}, seen.problem)


def account_lines(seen: AccountSeen, region: str, cells: int) -> list[Line]:
    """Under the heading of the target; nothing when nothing stands in the way."""
    heading: Line = ((f" Target {region}  ", "title"),)
    if seen.asking:
        return [(*heading, ("AWS has not answered yet" if seen.late else "looking at the account…", "busy"))]
    worth_it = [finding for finding in seen.findings if finding.severity is not Severity.INFO]
    lines: list[Line] = []
    if worth_it:
        lines.append((*heading, verdict_cell(judge(worth_it, Look.ALL))))
    elif seen.problem is not None:
        lines.append((*heading, ("not looked at", "dim")))
    for finding in worth_it:
        lines += finding_lines(finding, cells - 1, indent="   ")
    if seen.problem is not None:
        words = f"The account could not be looked at: {seen.problem}"
        lines += paragraph(words, cells - 1, "", (("   ", ""), ("▲ ", "warn")))
    return lines
