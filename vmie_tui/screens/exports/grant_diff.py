"""The exact change a bucket needs before the export service may write to it; made only when that is confirmed."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from vmie_tui.services.aws.s3.export_bucket import BucketReport
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.text import Line, clean, paragraph

_STYLES = {"+": "ok", "-": "bad"}


class DiffScreen(ModalScreen[bool]):
    """Dismisses with True only for the button that names the deed. The encryption is not changed from here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(False)", "No"),
        Binding("left,right", "app.focus_next", "Other button", show=False),
        Binding("up", "scroll(-1)", "Up", show=False),
        Binding("down", "scroll(1)", "Down", show=False),
    ]

    def __init__(self, report: BucketReport) -> None:
        super().__init__()
        self._report = report

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(f"Change the bucket {clean(self._report.bucket.name)}?   ↑↓ scroll", id="title", markup=False)
            yield LinePane(id="diff")
            with Horizontal(id="buttons"):
                yield Button("Leave it", id="no", compact=True)
                yield Button("Make this change", id="yes", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        pane = self.query_one("#diff", LinePane)
        pane.can_focus = False
        cells = max(20, pane.text_width())
        lines: list[Line] = []
        for change in self._report.grant:
            lines += paragraph(change.operation, cells, "title")
            lines += paragraph(f"{change.why}.", cells, "dim")
            lines += [((clean(line), _STYLES.get(line[:1], "dim")),) for line in change.diff]
            lines.append(())
        pane.set_lines(lines)

    def action_scroll(self, direction: int) -> None:
        self.query_one("#diff", LinePane).scroll_relative(y=direction, animate=False)

    @on(Button.Pressed)
    def _answered(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
