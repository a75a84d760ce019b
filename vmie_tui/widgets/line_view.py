"""Widgets that draw lines of cells straight to the screen: cheap for 20,000 rows, and silent when nothing changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.color import Color
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vmie_tui.widgets.text import Line, width

# What each style of a cell or a line is made of: text colour, background (variables of the theme), attributes.
# Not Textual's component classes: those are matched against every rule for every widget, a quarter of the first paint.
STYLES: dict[str, tuple[str, str, str]] = {
    "dim": ("dim", "", ""),
    "tab": ("foreground", "", "bold underline"),
    "ok": ("success", "", ""),
    "warn": ("warning", "", ""),
    "bad": ("error", "", ""),
    "info": ("secondary", "", ""),
    "busy": ("primary", "", ""),
    "head": ("dim", "", "bold"),
    "title": ("", "", "bold"),
    "key": ("accent", "", "bold"),
    "mark": ("accent", "", ""),
    "rule": ("rule", "", ""),
    "badge": ("background", "warning", "bold"),
    "here": ("", "cursor-blurred", ""),
    "cursor": ("", "cursor", "bold"),
}
NO_COLOR = {"cursor": "reverse", "here": "underline", "badge": "reverse"}  # instead of the attributes above


def _style(name: str, variables: Mapping[str, str], no_color: bool) -> Style:
    text, behind, attributes = STYLES[name]
    if no_color:
        attributes = NO_COLOR.get(name, attributes)
    return Style.parse(attributes) + Style(
        color=Color.parse(variables[text]).rich_color if text else None,
        bgcolor=Color.parse(variables[behind]).rich_color if behind else None,
    )


class LineView(ScrollView, can_focus=True, inherit_bindings=False):
    """A scrollable list of lines; subclasses say how many there are and draw one at a time.

    Style names used in cells are those of `STYLES`; "" is the widget's own.
    """

    BINDINGS: ClassVar[list[BindingType]] = []
    _made_for: ClassVar[tuple[dict[str, str], bool]] = ({}, False)
    _made: ClassVar[dict[str, Style]] = {}
    DEFAULT_CSS = """
    LineView {
        background: $background;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    """

    def line_count(self) -> int:
        raise NotImplementedError

    def draw(self, y: int) -> tuple[Line, str]:
        """The cells of line ``y`` and the style of the whole line ("", "cursor" or "here")."""
        raise NotImplementedError

    def update_size(self) -> None:
        """Call when the number of lines changed."""
        self.virtual_size = Size(max(1, self.scrollable_content_region.width), self.line_count())

    def on_resize(self) -> None:
        self.update_size()
        self.refresh()

    def text_width(self) -> int:
        """Cells there are for a line: the last one is the scrollbar's, whether it shows or not."""
        return max(1, self.size.width - 1)

    def to_document(self, y: int) -> int:
        """The line shown at row ``y`` of the widget."""
        return y + self.scroll_offset.y

    def render_line(self, y: int) -> Strip:
        cells_wide = self.size.width
        number = self.to_document(y)
        base = self.rich_style
        if not 0 <= number < self.line_count():
            return Strip.blank(cells_wide, base)
        line, whole = self.draw(number)
        over = self._named(whole)
        segments = [Segment(text, base + self._named(style) + over) for text, style in line if text]
        return Strip(Segment.simplify(segments)).adjust_cell_length(cells_wide, base + over)

    def _named(self, name: str) -> Style:
        return self._styles()[name] if name else Style.null()

    def _styles(self) -> dict[str, Style]:
        """The styles by name, made once for a theme: Textual makes new variables when it changes."""
        app = self.app
        if self._made_for[0] is not app.theme_variables or self._made_for[1] is not app.no_color:
            LineView._made_for = app.theme_variables, app.no_color
            LineView._made = {name: _style(name, app.theme_variables, app.no_color) for name in STYLES}
        return self._made

    def refresh_changed(self, row: int, old: Line, new: Line) -> None:
        """Repaint only the cells of widget row ``row`` that differ between two drawings of it."""
        if old == new:
            return
        left = 0
        for before, after in zip(old, new, strict=False):
            if before != after:
                break
            left += width(before[0])
        right = 0
        for before, after in zip(reversed(old), reversed(new), strict=False):
            if before != after:
                break
            right += width(before[0])
        longest = max(sum(width(text) for text, _ in line) for line in (old, new))
        same = sum(width(text) for text, _ in old) == sum(width(text) for text, _ in new)
        end = longest - right if same else self.size.width
        self.refresh(Region(left, row, max(1, end - left), 1))


class LinePane(LineView):
    """A page of ready lines, scrolled when it is longer than the widget."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("up,k", "scroll_up", "Up"),
        ("down,j", "scroll_down", "Down"),
        ("pageup", "page_up", "Page up"),
        ("pagedown", "page_down", "Page down"),
        ("home,g", "scroll_home", "Top"),
        ("end,G", "scroll_end", "Bottom"),
    ]

    def __init__(self, lines: Sequence[Line] = (), *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = tuple(lines)

    @property
    def lines(self) -> tuple[Line, ...]:
        return self._lines

    def line_count(self) -> int:
        return len(self._lines)

    def text_width(self) -> int:
        """As of any view; before the first layout that of one as wide as the terminal."""
        return (self.size.width if self.size.width > 1 else max(2, self.app.size.width)) - 1

    def draw(self, y: int) -> tuple[Line, str]:
        return self._lines[y], ""

    def set_lines(self, lines: Sequence[Line], *, top: bool = False) -> None:
        """Show other lines; repaints what differs. ``top`` scrolls back to the first."""
        old, self._lines = self._lines, tuple(lines)
        if top and self.scroll_offset.y:
            self.scroll_to(y=0, animate=False, force=True)
        if len(old) != len(self._lines):
            self.update_size()
        for row in range(self.size.height):
            number = self.to_document(row)
            before = old[number] if number < len(old) else ()
            after = self._lines[number] if number < len(self._lines) else ()
            self.refresh_changed(row, before, after)

    def plain(self) -> str:
        """What is shown, without styles."""
        return "\n".join("".join(text for text, _ in line) for line in self._lines)


class ArrowPane(LinePane, inherit_bindings=False):
    """A page scrolled by the arrows alone: where j has another meaning."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("up", "scroll_up", "Up"),
        ("down", "scroll_down", "Down"),
        *LinePane.BINDINGS[2:],
    ]


class OneLine(LinePane, can_focus=False):
    """A bar of one line."""

    DEFAULT_CSS = """
    OneLine { height: 1; overflow-y: hidden; }
    """

    def text_width(self) -> int:
        """All its cells, for it has no scrollbar; before the first layout those of the terminal."""
        return self.size.width or self.app.size.width

    def show(self, *cells: tuple[str, str]) -> None:
        self.set_lines([tuple(cells)])
