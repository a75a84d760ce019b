"""Open…: a disk image, objects in S3 or EBS snapshots; described, judged like a VM, and sent to the wizard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import get_current_worker

from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import plural
from vmie_tui.model.preflight import markdown
from vmie_tui.model.verdict import Look, judge
from vmie_tui.operations.import_plan import Candidate, Draft, draft_of
from vmie_tui.operations.sources import Completion, complete, may_be_in_aws
from vmie_tui.screens import registry
from vmie_tui.screens.frame.actions import OPEN, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.call_page import CallPage
from vmie_tui.services.image_sources import Described
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.frame import HintBar
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.machine_detail import heading
from vmie_tui.widgets.machines import short_os, verdict_cell
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.report import report_lines
from vmie_tui.widgets.text import Line, clean, fit, paragraph, size

EXAMPLES = (
    ("a file", "/exports/web-01.ova, disk.vmdk, disk.vhd, disk.raw; tab completes"),
    ("an object in S3", "s3://bucket/key; with / at its end all images below it"),
    ("EBS snapshots", "snap-0123456789abcdef0; several: the boot disk's first"),
)


class SourceInput(Input):
    """Tab completes the name of a file; ↓ goes on to what was found."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "screen.complete", "Complete", show=False),
        Binding("down", "screen.to_found", "To what was found", show=False),
    ]


class OpenScreen(CallPage):
    """Dismisses with True once jobs were started."""

    MODE = "inventory"
    ACTIONS = OPEN
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(OPEN)]
    CSS_PATH = style_sheet(__file__)

    class Names(Message):
        def __init__(self, typed: str, completion: Completion) -> None:
            super().__init__()
            self.typed, self.completion = typed, completion

    def __init__(self) -> None:
        super().__init__()
        self._names, self._names_of = Completion(""), ""  # and what had been typed when they were read
        self._tab_waits = False
        self._found: Described | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        with Horizontal(id="line"):
            yield OneLine([((" Open", "dim"),)], id="label")
            yield SourceInput(id="source", compact=True, placeholder="a file, s3://bucket/key, or snap-…")
        yield ChoiceList(
            "",
            (Option("", "as what it is"), Option("raw", "as RAW, whatever it looks like")),
            "",
            inline=True,
            label_cells=6,
            id="raw",
        )
        yield LinePane(id="found")

    def on_mount(self) -> None:
        super().on_mount()
        field = self.query_one(SourceInput)
        field.cursor_blink = False
        field.focus()
        self._draw()

    def show_hints(self, extra: tuple[tuple[str, str], ...] = ()) -> None:
        if isinstance(self.focused, SourceInput):
            keys = (("enter", "look"), ("tab", "complete"), ("↓", "to the report"), ("esc", "back"))
            self.query_one(HintBar).set_hints(keys)
        else:
            super().show_hints((*extra, ("/", "another")))

    def on_descendant_focus(self) -> None:
        self.show_hints()

    # -- the names of files

    @on(Input.Changed, "#source")
    def _typed(self, event: Input.Changed) -> None:
        self._found, self._problem = None, None
        self._complete(event.value)

    @work(thread=True, exclusive=True, group="complete", exit_on_error=False)
    def _complete(self, typed: str) -> None:
        completion = complete(typed) if typed.strip() else Completion("")
        if not get_current_worker().is_cancelled:
            self.post_message(self.Names(typed, completion))

    @on(Names)
    def _named(self, event: Names) -> None:
        if event.typed == self.query_one(SourceInput).value:
            self._names, self._names_of = event.completion, event.typed
            self._draw(top=True)
            if self._tab_waits:
                self.action_complete()

    def action_complete(self) -> None:
        """Write what all names have in common; with nothing to choose from, go on to the next field."""
        field = self.query_one(SourceInput)
        self._tab_waits = field.value != self._names_of and bool(field.value.strip())
        if self._tab_waits:
            return  # the folder is still being read
        grown = self._names.text
        if grown != field.value and grown.startswith(field.value):
            field.value = grown
            field.cursor_position = len(grown)
        elif len(self._names.names) < 2:  # several are shown, to choose from by typing on
            self.focus_next()

    def action_to_found(self) -> None:
        self.query_one("#found", LinePane).focus()

    # -- looking

    @on(Input.Submitted, "#source")
    def action_again(self) -> None:
        text = self.query_one(SourceInput).value.strip()
        if text and not self._step:
            self._step, self._found, self._problem = "looking", None, None
            self._draw(top=True)
            imports, raw = self.operations.imports, self.query_one("#raw", ChoiceList).value == "raw"
            self._call(lambda on_step: imports.describe(text, raw=raw, on_step=on_step))

    @on(ChoiceList.Picked, "#raw")
    def _raw(self) -> None:
        if self._found is not None or self._problem is not None:
            self.action_again()

    def take_answer(self, answer: Described | None) -> None:
        self._found = answer
        if answer is not None:
            self.action_to_found()

    # -- what is shown

    def _draw(self, *, top: bool = False) -> None:
        pane = self.query_one("#found", LinePane)
        cells = pane.text_width()
        pane.set_lines(self._lines(cells), top=top)
        self._draw_summary()
        self.show_hints()

    def _lines(self, cells: int) -> list[Line]:
        if self._step:
            return [(), ((f" {clean(self._step)}…", "busy"),)]
        if self._problem is not None:
            return [(), *problem_lines(self._problem, cells, margin=" ", retry="Trying again is safe: enter.")]
        if self._found is not None:
            return [*self._ways(cells), (), *self._report(cells)]
        return self._offers(cells)

    def _offers(self, cells: int) -> list[Line]:
        """The names that fit what was typed; before anything was, what may be typed."""
        typed, names = self.query_one(SourceInput).value, self._names
        if not typed.strip():
            examples = [paragraph(words, cells, "dim", ((f" {fit(kind, 17)}", ""),)) for kind, words in EXAMPLES]
            return [(), *(line for lines in examples for line in lines)]
        if names.why:
            return [(), *paragraph(f"{names.why}.", cells, "warn", ((" ", ""),))]
        if not names.names and not may_be_in_aws(typed):
            return [(), *paragraph("No file begins like this.", cells, "dim", ((" ", ""),))]
        room = max(10, cells - 14)
        return [
            (
                (f" {fit(clean(name.last), room)}", "busy" if name.folder else ""),
                (f"{'folder' if name.folder else size(name.size):>11}", "dim"),
            )
            for name in names.names
        ]

    def _ways(self, cells: int) -> list[Line]:
        """The routes there are for it, and why not the others."""
        draft = self._draft()
        lines: list[Line] = [heading("Ways into AWS", cells)]
        for option in draft.route_options():
            mark = ("✖", "bad") if option.refused else ("✔", "ok")
            words = option.refused or option.note
            first: Line = ((" ", ""), mark, (f" {fit(option.label, 21)} ", "title" if not option.refused else "dim"))
            lines += paragraph(f"{words.rstrip('.')}.", cells, "dim", first)
        return lines

    def _report(self, cells: int) -> list[Line]:
        preflight = self._found.preflight if self._found is not None else None
        return report_lines(preflight, cells) if preflight is not None else []

    def _draw_summary(self) -> None:
        found, line = self._found, self.query_one("#summary", OneLine)
        if found is None:
            line.show((" Open  ", "title"), ("a disk image, an object in S3, or EBS snapshots", "dim"))
            return
        machine = found.machine
        judged = found.preflight.judged if found.preflight else judge((), Look.NONE)
        line.show(
            (f" {fit(clean(found.source.name), 28)} ", "title"),
            (f"{plural(len(machine.disks), 'disk')}, {size(machine.size)}  {short_os(clean(machine.os_name))}  ", ""),
            verdict_cell(judged),
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    # -- other keys

    def _draft(self) -> Draft:
        assert self._found is not None
        profile, found = self.operations.profile, self._found
        return draft_of(profile, (Candidate(found.source, found.machine, found.preflight),))

    def action_import(self) -> None:
        if self._found is None:
            self.tell("There is nothing to import yet: name it, and press enter.", error=True)
        elif self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be started from it.", error=True)
        else:
            self.app.push_screen(registry.import_draft(self._draft()), self._wizard_closed)

    def _wizard_closed(self, started: bool | None) -> None:
        if started:
            self.dismiss(True)

    def action_copy(self) -> None:
        preflight = self._found.preflight if self._found is not None else None
        if preflight is None:
            self.tell("There is no report yet.", error=True)
        else:
            self.copy("preflight.md", markdown(preflight))

    def action_edit(self) -> None:
        self.query_one(SourceInput).focus()

    def action_back(self) -> None:
        self.dismiss(False)
