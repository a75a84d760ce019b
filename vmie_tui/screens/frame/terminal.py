"""Keys in their order: each is handled to its end before the next is looked at.

Textual hands every key of a burst (a slow SSH line, a paste without brackets, tmux send-keys) to the widget that has
the focus when the burst arrives. Then ``/web``, enter, space would type the space into the filter, and the ``q`` of
``/quux`` would quit. Here a key waits until the one before it, and what it changed, has gone all the way up.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from textual import events, on
from textual.message import Message

from vmie_tui.screens.frame.tight import TightRepaint

PATIENCE = 0.25  # seconds to wait for a key whose widget vanished while it was handled


class OrderedKeys(TightRepaint):
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
