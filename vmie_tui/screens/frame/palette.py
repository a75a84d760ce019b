"""The entries of the command palette: the actions of the screen below it, then those of the app."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from vmie_tui.screens.frame.actions import APP, Action
from vmie_tui.screens.frame.base import FrameScreen


class ActionProvider(Provider):
    def _entries(self) -> list[tuple[str, Action, Callable[[], Any]]]:
        screen = self.screen
        own = screen.offered() if isinstance(screen, FrameScreen) else ()
        return [
            (f"{action.description}  ({action.key})", action, partial(node.run_action, action.run))
            for node, group in ((screen, own), (self.app, APP))
            for action in group
            if action.palette
        ]

    async def discover(self) -> Hits:
        for title, action, run in self._entries():
            yield DiscoveryHit(title, run, help=action.tooltip)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, action, run in self._entries():
            score = max(matcher.match(title), matcher.match(action.id))
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, help=action.tooltip)
