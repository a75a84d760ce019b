"""The first pages of the import wizard: source, route, licence; each reads and writes the one `Draft`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from vmie_tui.model.finding import Finding
from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import plural
from vmie_tui.model.plan import FileSource, ObjectSource, Route, SnapshotSource, UploadFormat, Via
from vmie_tui.model.verdict import Look, judge
from vmie_tui.operations.import_check import Judged
from vmie_tui.operations.import_plan import Candidate, Draft, route_words
from vmie_tui.operations.licences import FAMILIES, USAGE, WINDOWS, licence_options, licence_words, usage_options
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.machines import POWER, short_os, verdict_cell
from vmie_tui.widgets.text import Cell, Line, clean, fit, paragraph, size

FOUND = tuple[Candidate, tuple[Finding, ...]]
JUDGED = tuple[Candidate, Judged]


class Step(Vertical):
    """A page. `enter` is called each time it is shown."""

    class Changed(Message):
        """An answer changed."""

    def __init__(self, draft: Draft, *, id: str) -> None:
        super().__init__(id=id)
        self.draft = draft

    def enter(self) -> None:
        """Bring the page up to date with the draft."""

    def cells(self) -> int:
        return max(40, self.app.size.width - 2)


class SourceStep(Step):
    """Which machines, and how running ones are frozen."""

    def compose(self) -> ComposeResult:
        yield LinePane(id="sources")
        if self.draft.running:
            yield ChoiceList(
                "Running VMs",
                (
                    Option("yes", "Quiesced snapshot", "files at rest; needs VMware Tools"),
                    Option("no", "Snapshot as it is", "like after a power cut"),
                ),
                "yes",
                id="quiesce",
            )

    def show_findings(self, found: Iterable[FOUND], looks: Mapping[str, Look]) -> None:
        names = max((len(clean(one.source.name)) for one in self.draft.candidates), default=8)
        name_cells = min(max(names, 8), 28)
        in_vcenter = all(one.in_vcenter for one in self.draft.candidates)
        head = f" {fit('VM' if in_vcenter else 'Source', name_cells)}  {fit('Power' if in_vcenter else 'Kind', 6)}"
        lines: list[Line] = [((f"{head}{fit('Guest OS', 20)}", "head"), *_HEAD)]
        for one, findings in found:
            kind, kind_style = _kind(one)
            lines.append(
                (
                    (f" {fit(clean(one.source.name), name_cells)}  ", "title"),
                    (fit(kind, 6), kind_style),
                    (f"{fit(short_os(clean(one.machine.os_name)), 19)} ", ""),
                    (f"{len(one.machine.disks):>5}{size(one.machine.size):>10}   ", ""),
                    verdict_cell(judge(findings, looks.get(one.key, Look.NONE))),
                )
            )
        lines.append(())
        for one in self.draft.candidates:
            if not one.in_vcenter:
                lines += paragraph(one.source.where, self.cells(), "", ((" Lies at  ", "dim"),))
        what = plural(len(self.draft.candidates), "VM" if in_vcenter else "source")
        total = f"{what}, {size(self.draft.size)} of disks."
        lines += paragraph(f"{total} Each is imported by a job of its own.", self.cells(), "", ((" ", ""),))
        if self.draft.running:
            words = "Running VMs are copied from a snapshot, which is removed afterwards; they go on running."
            lines += paragraph(words, self.cells(), "dim", ((" ", ""),))
        self.query_one("#sources", LinePane).set_lines(lines)

    @on(ChoiceList.Picked, "#quiesce")
    def _quiesce(self, event: ChoiceList.Picked) -> None:
        self.draft.quiesce = event.value == "yes"


_HEAD: Line = ((f"{'Disks':>5}{'Size':>10}   Verdict", "head"),)


def _kind(one: Candidate) -> Cell:
    if isinstance(one.source, FileSource):
        return "file", ""
    if isinstance(one.source, ObjectSource):
        return "S3", ""
    return ("EBS", "") if isinstance(one.source, SnapshotSource) else POWER[one.machine.power]


class RouteStep(Step):
    """How the disks get to AWS: all ways, with why one would or why one cannot."""

    def __init__(self, draft: Draft, *, id: str) -> None:
        super().__init__(draft, id=id)
        self._pointed: Option | None = None

    def compose(self) -> ComposeResult:
        for name, label in (("route", "Route"), ("format", "Format"), ("via", "Way")):
            yield ChoiceList(label, (), "", brief=True, label_cells=8, id=name)
        yield LinePane(id="route-words")

    def enter(self) -> None:
        draft, asked = self.draft, self.draft.asked
        self.query_one("#route", ChoiceList).set_options(draft.route_options(), draft.route.value)
        self._offer("format", draft.format_options(), draft.upload_format.value, "format" in asked)
        self._offer("via", draft.via_options(), draft.via.value, "via" in asked)
        self._show_words()

    @on(ChoiceList.Pointed)
    def _point(self, event: ChoiceList.Pointed) -> None:
        self._pointed = event.option
        self._show_words()

    def _show_words(self) -> None:
        """In full what the option at the cursor is for, or why it cannot be; then what will happen."""
        option = self._pointed or next(o for o in self.draft.route_options() if o.value == self.draft.route.value)
        label, why = ("Why not", option.refused) if option.refused else ("Why", option.note)
        style, first = "warn" if option.refused else "", ((f" {fit(label, 8)}", "dim"),)
        lines = paragraph(f"{option.label}: {why.rstrip('.')}.", self.cells(), style, first)
        words = route_words(self.draft.candidates[0].source, self.draft.route, self.draft.via)
        lines += paragraph(words, self.cells(), "dim", ((f" {fit('So', 8)}", "dim"),))
        self.query_one("#route-words", LinePane).set_lines(lines)

    def _offer(self, name: str, options: tuple[Option, ...], value: str, wanted: bool) -> None:
        """Show a list of options, when there is something to choose."""
        choice = self.query_one(f"#{name}", ChoiceList)
        choice.display = wanted and bool(options)
        if choice.display:
            choice.set_options(options, value)

    @on(ChoiceList.Picked)
    def _picked(self, event: ChoiceList.Picked) -> None:
        if event.choice.id == "route":
            self.draft.choose_route(Route(event.value))
        elif event.choice.id == "via":
            self.draft.choose_via(Via(event.value))
        else:
            self.draft.choose_format(UploadFormat(event.value))
        self.enter()
        self.post_message(self.Changed())


class LicenceStep(Step):
    """Who licenses the guest."""

    def compose(self) -> ComposeResult:
        yield LinePane(id="systems")
        yield ChoiceList("Licence", (), "", id="licence")
        codes = [Option(code, code, text) for code, text in usage_options(self.draft.families)]
        yield ChoiceList("Usage operation", codes, "", id="usage")
        yield LinePane(id="licence-words")

    def enter(self) -> None:
        machines = self.draft.machines
        lines: list[Line] = []
        for family in sorted(self.draft.families, key=lambda member: member.value):
            names = ", ".join(m.name for m in machines if m.os_family is family)
            systems = ", ".join(sorted({short_os(clean(m.os_name)) for m in machines if m.os_family is family}))
            first: Line = ((f" {fit('Operating system' if not lines else '', 19)}", "dim"),)
            lines += paragraph(f"{FAMILIES[family]}: {systems} ({names})", self.cells(), "", first)
        self.query_one("#systems", LinePane).set_lines([*lines, ()])
        self.query_one("#licence", ChoiceList).set_options(licence_options(machines), self.draft.licence)
        self._show_words()

    def _show_words(self) -> None:
        asked = "licence" in self.draft.asked
        self.query_one("#licence").display = asked
        self.query_one("#usage").display = asked and self.draft.licence == USAGE
        words = licence_words(self.draft.machines, self.draft.licence) if asked else self._none()
        lines: list[Line] = [()]
        for number, sentence in enumerate(words):
            first: Line = ((f" {fit('What this means' if number == 0 else '', 19)}", "dim"),)
            lines += paragraph(sentence, self.cells(), "", first)
        self.query_one("#licence-words", LinePane).set_lines(lines)

    def _none(self) -> list[str]:
        """Why the route asks for no licence, and what that means."""
        words = [NO_LICENCE[self.draft.route]]
        if self.draft.route is Route.INSTANCE and any(m.os_family in WINDOWS for m in self.draft.machines):
            words.append("Windows gets a licence of AWS: an own one cannot be brought this way.")
        return words

    @on(ChoiceList.Picked, "#licence")
    def _licence(self, event: ChoiceList.Picked) -> None:
        self.draft.licence = event.value
        self._show_words()
        self.post_message(self.Changed())

    @on(ChoiceList.Picked, "#usage")
    def _usage(self, event: ChoiceList.Picked) -> None:
        self.draft.usage_operation = event.value
        self.post_message(self.Changed())


NO_LICENCE = {
    Route.UNMODIFIED: "This route asks for none: RegisterImage takes no licence type, and the system keeps its own.",
    Route.SNAPSHOT: "This route asks for none: a snapshot has no licence.",
    Route.INSTANCE: "This route asks for none: ImportInstance takes no licence type.",
}
