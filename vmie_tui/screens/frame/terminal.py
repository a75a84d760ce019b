"""The terminal's two ends: keys are handled in order, and only the cells that changed are sent.

**Keys.** Textual hands every key of a burst (a slow SSH line, a paste without brackets, tmux send-keys) to the widget
that has the focus when the burst arrives. Then ``/web``, enter, space would type the space into the filter, and the
``q`` of ``/quux`` would quit. Here a key waits until the one before it, and what it changed, has gone all the way up.

**Cells.** Textual 8.2.8 repaints a line of a widget from the widget's left edge to the end of what changed. For a table
whose right columns move twice a second that is three times the bytes, on links where each one counts.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from rich.console import Console, RenderableType
from rich.control import Control
from textual import events, on
from textual._compositor import ChopsUpdate
from textual.app import App
from textual.message import Message
from textual.screen import Screen

PATIENCE = 0.25  # seconds to wait for a key whose widget was removed while it was handled


class TightUpdate(ChopsUpdate):
    """A partial update that starts each span at its first cell."""

    def render_segments(self, console: Console) -> str:
        """The update as raw terminal data."""
        parts: list[str] = []
        for y, left, right in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= right or end <= left:
                    continue
                start, stop = max(x, left), min(end, right)
                parts.append(Control.move_to(start, y).segment.text)
                parts.append(strip.crop(start - x, stop - x).render(console))
        return "".join(parts)


class TerminalApp(App[int]):
    """An app that takes keys in order, and sends over the line only the cells that changed."""

    class KeyHandled(Message):
        """Follows a key on its way up from the widget that got it."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._keys: deque[events.Key] = deque()
        self._key_since: float | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        self._keys.append(event)
        if self._key_since is None or monotonic() - self._key_since > PATIENCE:
            await self._handle_next()
        else:
            self.set_timer(PATIENCE, self._unstick)

    async def _handle_next(self) -> None:
        if not self.screen_stack:
            self._keys.clear()  # the app is ending: no screen is left to take them
            return
        event, target = self._keys.popleft(), self.focused or self.screen
        self._key_since = monotonic()
        await super().on_event(event)
        if not target.post_message(self.KeyHandled()):
            self._key_since = None

    @on(KeyHandled)
    async def _key_handled(self, event: KeyHandled) -> None:
        event.stop()
        self._key_since = None
        if self._keys:
            await self._handle_next()

    async def _unstick(self) -> None:
        if self._keys and (self._key_since is None or monotonic() - self._key_since >= PATIENCE):
            await self._handle_next()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(renderable, ChopsUpdate):
            renderable = TightUpdate(renderable.chops, renderable.spans, renderable.chop_ends)
        super()._display(screen, renderable)
