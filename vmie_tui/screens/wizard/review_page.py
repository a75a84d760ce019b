"""The wizard's last page: what will happen, what stands in the way, the same by hand, and the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.app import ComposeResult
from textual.widgets import Button

from vmie_tui.model.finding import Severity
from vmie_tui.model.formatting import plural
from vmie_tui.model.job import JobView
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.rules.override import Blocked
from vmie_tui.model.verdict import Look, judge
from vmie_tui.operations.aws_commands import aws_commands
from vmie_tui.operations.estimate import estimate
from vmie_tui.operations.import_check import other_routes
from vmie_tui.operations.import_plan import Draft, route_words
from vmie_tui.screens.wizard.account_check import AccountSeen, account_lines
from vmie_tui.screens.wizard.pages import JUDGED, Step
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.machine_detail import finding_lines
from vmie_tui.widgets.machines import verdict_cell
from vmie_tui.widgets.text import Line, clean, fit, join, paragraph


class ReviewStep(Step):
    """``jobs``: those there are, for what they measured."""

    def compose(self) -> ComposeResult:
        yield LinePane(id="review")
        yield Button("Start", id="start", variant="success", compact=True)

    def enter(self) -> None:
        self.query_one("#start", Button).disabled = True  # until the rules have looked

    def show_findings(
        self,
        judged: Iterable[JUDGED],
        blocked: Mapping[str, Blocked],
        mistakes: Mapping[str, str],
        looks: Mapping[str, Look],
        jobs: Iterable[JobView],
        *,
        account: AccountSeen,
    ) -> None:
        """``blocked`` by candidate's key; ``looks``: how much of whose disks was read."""
        firm = bool(mistakes) or any(some.firm for some in blocked.values())
        soft = sum(bool(some.soft) for some in blocked.values())
        start = self.query_one("#start", Button)
        start.disabled = firm or not blocked or account.holds_up
        count = plural(len(self.draft.candidates), "import")
        start.label = f" Force {count}… " if soft else f" Start {count} "
        cells, margin = self.cells(), ((" ", ""),)
        lines: list[Line] = []
        if firm:
            lines += paragraph("This cannot start yet: correct what is marked ✖.", cells, "bad", margin)
        elif soft:
            words = f"{plural(soft, 'VM')} blocked. To start all the same, type each one's name when asked."
            lines += paragraph(words, cells, "bad", margin)
        for text in mistakes.values():
            lines += paragraph(f"{text}.", cells, "", ((" ", ""), ("✖ ", "bad")))
        for one, weighed in judged:
            findings = weighed.found
            look = looks.get(one.key, Look.NONE)
            note = "  disks not inspected: p looks" if look is Look.NONE and one.in_vcenter else ""
            cell = verdict_cell(judge(findings, look))
            lines.append(((f" {clean(one.source.name)}  ", "title"), cell, (note, "dim")))
            for finding in findings:
                if finding.severity is not Severity.INFO:
                    lines += finding_lines(finding, cells - 1, indent="   ")
            others = other_routes(weighed) if weighed.standing else ()
            if others:
                words = f"Possible routes, chosen on the page Route: {', '.join(route.value for route in others)}."
                lines += paragraph(words, cells, "dim", (("   ", ""),))
        lines += account_lines(account, clean(self.draft.region), cells)
        lines += self._what(cells)
        if "tags" not in mistakes:
            lines += self._estimate(cells, jobs)
        if not mistakes:
            lines += self._command(cells)
        self.query_one("#review", LinePane).set_lines(lines)

    def _what(self, cells: int) -> list[Line]:
        draft, asked = self.draft, self.draft.asked
        on = sum(candidate.running for candidate in draft.candidates)
        words = route_words(draft.candidates[0].source, draft.route, draft.via)
        if on:
            words += f" {plural(on, 'running VM')} copied from a snapshot."
        lines: list[Line] = [(), *_labelled("Route", words, cells)]
        target = f"to s3://{draft.bucket}/{draft.prefix}" if "bucket" in asked else "no bucket"
        role = f"role {draft.role_name}" if "role_name" in asked else "no service role"
        lines += _labelled("Target", join([draft.region, target, role, _encryption(draft)], ", "), cells)
        after = "tags" not in draft.mistakes() and _afterwards(draft.plans()[0])
        return lines + (_labelled("Afterwards", after, cells) if after else [])

    def _estimate(self, cells: int, jobs: Iterable[JobView]) -> list[Line]:
        return [line for label, words in estimate(self.draft, jobs) for line in _labelled(label, words, cells)]

    def _command(self, cells: int) -> list[Line]:
        lines: list[Line] = [(), ((" The same by hand (y copies)", "dim"),)]
        text = aws_commands(self.draft.plans(), self.draft.candidates, wrapped=True)
        for row in text.strip().split("\n"):
            indent = len(row) - len(row.lstrip())
            lines += paragraph(row.strip(), cells, "info", ((" " * (indent + 1), ""),))
        return lines


def _afterwards(plan: ImportPlan) -> str:
    """What the plan does once the import is through; "" when nothing."""
    launch, volumes = plan.test_launch, plan.volumes
    steps = [
        f"volumes in {volumes.availability_zone}" if volumes else "",
        f"attached to {volumes.instance_id}" if volumes and volumes.instance_id else "",
        f"copies to {', '.join(plan.copy_to)}" if plan.copy_to else "",
        "the objects in S3 are deleted" if plan.clean_up else "",
        f"a test instance{', isolated' if launch.isolated else ''}, which runs until you terminate it"
        if launch
        else "",
    ]
    words = join(steps, "; ")
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def _encryption(draft: Draft) -> str:
    if not draft.encrypted or "encrypted" not in draft.asked:
        return ""
    return f"encrypted with {draft.kms_key or 'the default key'}"


def _labelled(label: str, words: str, cells: int) -> list[Line]:
    return paragraph(words, cells, "", ((f" {fit(label, 15)}", "dim"),))
