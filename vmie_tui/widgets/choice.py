"""Form parts for a terminal: a labelled list of choices, and a labelled line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from vmie_tui.model.form_option import Option
from vmie_tui.widgets.line_view import LineView, OneLine
from vmie_tui.widgets.text import Cell, Line, clean, fit, paragraph, width

LABEL_CELLS = 19


class ChoiceList(LineView):
    """One of several options, each with a word on it; one that cannot be chosen says why.

    ``inline`` draws all options on one line; space goes to the next. ``brief`` gives each one line, clipped: what was
    cut is shown elsewhere, as `Pointed` says at which option the cursor is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("space", "pick", "Choose", show=False),
        Binding("enter", "pick_and_go", "Choose and go on", show=False),
    ]
    DEFAULT_CSS = """
    ChoiceList { height: auto; overflow-y: hidden; }
    """

    class Picked(Message):
        def __init__(self, choice: ChoiceList, value: str) -> None:
            super().__init__()
            self.choice, self.value = choice, value

        @property
        def control(self) -> ChoiceList:
            return self.choice

    class Pointed(Message):
        """The cursor is on another option, or on one whose words changed."""

        def __init__(self, choice: ChoiceList, option: Option) -> None:
            super().__init__()
            self.choice, self.option = choice, option

        @property
        def control(self) -> ChoiceList:
            return self.choice

    def __init__(
        self,
        label: str,
        options: Sequence[Option],
        value: str,
        *,
        inline: bool = False,
        brief: bool = False,
        label_cells: int = LABEL_CELLS,
        id: str,
    ) -> None:
        super().__init__(id=id)
        self._label, self._inline, self._brief, self._label_cells = label, inline, brief, label_cells
        self._options, self._value = tuple(options), value
        self._at = self._index_of(value)
        self.styles.height = max(1, len(self._options)) if not inline else 1

    def _index_of(self, value: str) -> int:
        return next((i for i, option in enumerate(self._options) if option.value == value), 0)

    @property
    def value(self) -> str:
        return self._value

    def set_options(self, options: Sequence[Option], value: str) -> None:
        """Offer other options, with ``value`` chosen."""
        self._options, self._value = tuple(options), value
        self._at = self._index_of(value)
        self.styles.height = max(1, self.line_count())
        self.update_size()
        self.refresh()

    def line_count(self) -> int:
        return 1 if self._inline else len(self._layout())

    def _layout(self) -> list[tuple[int, Line]]:
        """The lines, each with its option's number; a note that does not fit beside its label goes below it."""
        cells = self.text_width() or self.app.size.width
        room = max(20, cells - self._label_cells - 6)
        name_cells = min(max((width(option.label) for option in self._options), default=10) + 3, room)
        lines: list[tuple[int, Line]] = []
        for number, option in enumerate(self._options):
            label: Cell = (f" {fit('' if lines else self._label, self._label_cells)}", "dim")
            chosen = option.value == self._value
            here = number == self._at and self.has_focus
            style = "cursor" if here else "dim" if option.refused else "title" if chosen else ""
            mark: Cell = ("(•) " if chosen else "( ) ", "mark" if chosen else "dim")
            note = clean(option.refused or option.note)
            if self._brief:
                note = fit(f"✖ {note}" if option.refused else note, max(1, room - name_cells))
            if width(note) <= room - name_cells:
                lines.append((number, (label, mark, (fit(option.label, name_cells), style), (note, "dim"))))
            else:
                lines.append((number, (label, mark, (fit(option.label, name_cells), style))))
                below: Line = ((" " * (self._label_cells + 5), ""),)
                lines += [(number, line) for line in paragraph(note, cells - 1, "dim", below)]
        return lines

    def on_resize(self) -> None:
        self.styles.height = self.line_count()
        super().on_resize()

    def draw(self, y: int) -> tuple[Line, str]:
        if not self._inline:
            return self._layout()[y][1], ""
        cells: list[Cell] = [(f" {fit(self._label, self._label_cells)}", "dim")]
        for option in self._options:
            chosen = option.value == self._value
            style = "cursor" if chosen and self.has_focus else "title" if chosen else "dim"
            cells += [("(•) " if chosen else "( ) ", "mark" if chosen else "dim"), (option.label, style), ("  ", "")]
        return tuple(cells), ""

    def action_move(self, step: int) -> None:
        target = self._at + step
        if self._inline or not 0 <= target < len(self._options):
            self.screen.focus_next() if step > 0 else self.screen.focus_previous()
            return
        self._at = target
        self.refresh()
        self._bring_into_view()
        self._point()

    def _point(self) -> None:
        if self._options:
            self.post_message(self.Pointed(self, self._options[self._at]))

    def _bring_into_view(self) -> None:
        """Scroll the page so far that the option at the cursor, all of its lines, can be read."""
        lines = [y for y, (number, _) in enumerate(self._layout()) if number == self._at]
        if isinstance(self.parent, Widget) and lines:
            here = self.virtual_region
            region = Region(here.x, here.y + lines[0], here.width, len(lines))
            self.parent.scroll_to_region(region, animate=False, force=True)

    def action_pick(self) -> None:
        if self._inline:
            self._pick_next()
        else:
            self._pick(self._at)

    def _pick_next(self) -> None:
        """The next option that can be chosen; those left out on the way say why."""
        at, count = self._index_of(self._value), len(self._options)
        for step in range(1, count):
            number = (at + step) % count
            self._pick(number)
            if self._at == number:
                return

    def action_pick_and_go(self) -> None:
        if not self._inline:
            self._pick(self._at)
        self.screen.focus_next()

    def _pick(self, index: int) -> None:
        """Choose it, or say why it cannot be."""
        option = self._options[index]
        if option.refused:
            self.notify(f"{option.label}: {option.refused}", severity="warning", markup=False)
            return
        self._at = index
        if option.value != self._value:
            self._value = option.value
            self.refresh()
            self.post_message(self.Picked(self, option.value))

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self.refresh()
        if focused:
            self._point()

    def on_click(self, event: events.Click) -> None:
        if self._inline:
            self.action_pick()
        elif event.y < self.line_count():
            self._pick(self._layout()[event.y][0])


class FieldInput(Input):
    """An input that lets ← at its start and → at its end through, so that they still change the wizard's step."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "left_or_leave", "Left", show=False),
        Binding("right", "right_or_leave", "Right", show=False),
        Binding("up", "leave(-1)", "Up", show=False),
        Binding("down", "leave(1)", "Down", show=False),
    ]

    def action_leave(self, step: int) -> None:
        self.screen.focus_next() if step > 0 else self.screen.focus_previous()

    async def action_left_or_leave(self) -> None:
        if self.cursor_position == 0 and self.selection.is_empty:
            await self.screen.run_action("step(-1)")
        else:
            self.action_cursor_left()

    async def action_right_or_leave(self) -> None:
        if self.cursor_position >= len(self.value) and self.selection.is_empty:
            await self.screen.run_action("step(1)")
        else:
            self.action_cursor_right()


class Field(Horizontal):
    """A label, a line to type in, and what is wrong with it."""

    INPUT: ClassVar[type[FieldInput]] = FieldInput

    DEFAULT_CSS = """
    Field {
        height: 1;
        & > .label { width: 20; }
        & > Input { width: 1fr; background: $surface; color: $foreground; }
        & > Input:focus { background: $panel; background-tint: $background 0%; }
        & > .wrong { width: auto; max-width: 40; display: none; }
        &.-noted > .wrong { display: block; width: 40; }
        &.-wrong > .wrong { display: block; width: 34; }
    }
    """

    def __init__(self, label: str, value: str, *, id: str, placeholder: str = "") -> None:
        super().__init__(id=f"field-{id}")
        self._label, self._value, self._input_id, self._placeholder = label, value, id, placeholder

    def compose(self) -> ComposeResult:
        yield OneLine([((f" {self._label}", "dim"),)], classes="label")
        field = self.INPUT(self._value, id=self._input_id, compact=True, placeholder=self._placeholder)
        field.cursor_blink = False
        field.select_on_focus = False
        yield field
        yield OneLine(classes="wrong")

    def set_mistake(self, text: str) -> None:
        """Show what is wrong, or nothing."""
        self.set_class(bool(text), "-wrong")
        self.remove_class("-noted")
        self.query_one(".wrong", OneLine).show((f" ✖ {clean(text)}", "bad"))

    def set_note(self, text: str) -> None:
        """Show what an answer comes to, where nothing is wrong with it."""
        self.remove_class("-wrong")
        self.set_class(bool(text), "-noted")
        self.query_one(".wrong", OneLine).show((f" {clean(text)}", "info"))
