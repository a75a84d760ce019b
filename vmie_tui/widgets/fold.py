"""The head line of a group of fields that unfolds; folded, it says in a few words what the group holds."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from vmie_tui.widgets.line_view import LineView
from vmie_tui.widgets.text import Line, clean, fit, width


class Fold(LineView):
    """``▸ Afterwards   no copies, no test launch``; space, enter or a click opens and closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "unfold", "Unfold", show=False),
        Binding("up,k", "leave(-1)", "Up", show=False),
        Binding("down,j", "leave(1)", "Down", show=False),
    ]
    DEFAULT_CSS = """
    Fold { height: 1; overflow-y: hidden; }
    """

    class Toggled(Message):
        def __init__(self, fold: Fold) -> None:
            super().__init__()
            self.fold = fold

        @property
        def control(self) -> Fold:
            return self.fold

    def __init__(self, title: str, *, unfolded: bool, id: str) -> None:
        super().__init__(id=id)
        self._title, self.unfolded = title, unfolded
        self._summary, self._wrong = "", False

    def show(self, summary: str, *, wrong: bool = False) -> None:
        """What to say while folded; ``wrong``: something in the group must be corrected."""
        if (summary, wrong) != (self._summary, self._wrong):
            self._summary, self._wrong = summary, wrong
            self.refresh()

    def line_count(self) -> int:
        return 1

    def draw(self, y: int) -> tuple[Line, str]:
        head = f" {'▾' if self.unfolded else '▸'} {self._title}"
        mark: Line = (("  ✖", "bad"),) if self._wrong else ()
        cells = (*((fit(head, max(20, width(head) + 2)), "cursor" if self.has_focus else "head"),), *mark)
        if self.unfolded:
            return cells, ""
        room = max(4, self.text_width() - sum(width(text) for text, _ in cells) - 1)
        return (*cells, (fit(clean(self._summary), room), "dim")), ""

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self.refresh()

    def action_unfold(self) -> None:
        self.unfolded = not self.unfolded
        self.refresh()
        self.post_message(self.Toggled(self))

    def action_leave(self, step: int) -> None:
        self.screen.focus_next() if step > 0 else self.screen.focus_previous()

    def on_click(self) -> None:
        self.action_unfold()
