"""The frame of every screen: title with modes and badge, one line of status, one line of keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from textual import events
from textual.message import Message

from vmie_tui.widgets.line_view import OneLine
from vmie_tui.widgets.text import Cell, clean, fit, join, line_width, width


class Health(Enum):
    UNKNOWN = "…"
    OK = "✔"
    BAD = "✖"
    OFF = "–"


@dataclass(frozen=True, slots=True)
class Part:
    """The status of vCenter, AWS or the worker."""

    name: str
    health: Health = Health.UNKNOWN
    text: str = ""  # who is logged in, or what is wrong
    extra: str = ""  # shown only where there is room


@dataclass(frozen=True, slots=True)
class Status:
    vcenter: Part = Part("vcenter")
    aws: Part = Part("aws")
    worker: Part = Part("worker")

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.vcenter, self.aws, self.worker)


HEALTH_STYLE = {Health.OK: "ok", Health.BAD: "bad", Health.UNKNOWN: "dim", Health.OFF: "dim"}


class TitleBar(OneLine):
    """`` vmie  1 Inventory 2 Jobs            READ-ONLY``; a click on a mode asks for it."""

    DEFAULT_CSS = """
    TitleBar { background: $panel; }
    """

    class ModeClicked(Message):
        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self, modes: Sequence[tuple[str, str, str]], active: str, profile: str, badge: str) -> None:
        """``modes`` are (key, mode, title); ``badge`` is a word to be seen, such as READ-ONLY."""
        super().__init__()
        self._modes, self._active, self._profile, self._badge = modes, active, clean(profile), badge
        self._gap = 1  # blanks before the first mode and behind each

    def on_mount(self) -> None:
        self._show()

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def _show(self) -> None:
        badge = f" {self._badge} " if self._badge else ""
        for self._gap in (1, 0):  # closer together where the profile or the badge would be cut
            cells: list[Cell] = [(" vmie ", "title"), (" " * self._gap, "")]
            for key, mode, title in self._modes:
                cells += [(f" {key} ", "key"), (title, "tab" if mode == self._active else "dim"), (" " * self._gap, "")]
            room = self.text_width() - line_width(cells) - width(badge) - 2
            if room >= max(1, width(self._profile)):
                break
        cells += [(f"{fit(self._profile, max(1, room), 'right')} ", "dim"), (badge, "badge"), (" ", "")]
        self.show(*cells)

    def on_click(self, event: events.Click) -> None:
        left = 6 + self._gap
        for key, mode, title in self._modes:
            right = left + width(f" {key} {title}") + self._gap
            if left <= event.x < right:
                self.post_message(self.ModeClicked(mode))
            left = right


class StatusLine(OneLine):
    """vCenter, AWS and worker in one line; when something is wrong, the reason alone."""

    DEFAULT_CSS = """
    StatusLine { background: $surface; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._status = Status()

    def on_mount(self) -> None:
        self.watch(self.app, "status", self.show_status)

    def on_resize(self) -> None:
        super().on_resize()
        self.show_status(self._status)

    def show_status(self, status: Status) -> None:
        self._status = status
        room = self.text_width()
        cells = self._cells(extras=True)
        if line_width(cells) > room:
            cells = self._cells(extras=False)
        self.show(*(_clip(cells, room) if room else cells))

    def _cells(self, *, extras: bool) -> list[Cell]:
        status = self._status
        bad = [part for part in status.parts if part.health is Health.BAD]
        cells: list[Cell] = [(" ", "")]
        for number, part in enumerate(bad or status.parts):
            if number:
                cells.append((" │ ", "rule"))
            text_style = "bad" if bad else "dim"
            cells += [(clean(part.name), ""), (f" {part.health.value}", HEALTH_STYLE[part.health])]
            words = join([clean(part.text), clean(part.extra) if extras else ""], " ")
            if words:
                cells.append((f" {words}", text_style))
        return cells


def _clip(cells: list[Cell], room: int) -> list[Cell]:
    """The cells that fit; the one that does not is cut with an ellipsis."""
    kept: list[Cell] = []
    for text, style in cells:
        left = room - line_width(kept)
        if width(text) > left:
            return [*kept, (fit(text, left), style)] if left > 0 else kept
        kept.append((text, style))
    return kept


class HintBar(OneLine):
    """The keys that matter here."""

    DEFAULT_CSS = """
    HintBar { dock: bottom; background: $panel; }
    """

    def set_hints(self, hints: Sequence[tuple[str, str]]) -> None:
        cells: list[Cell] = []
        for key, word in hints:
            cells += [(f" {key}", "key"), (f" {word} ", "dim")]
        self.show(*cells)
