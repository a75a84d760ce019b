"""What every app of this program has: the theme, no animation, no colour where the user wants none, and an end."""

from __future__ import annotations

import os
from typing import Any

from vmie_tui.hangup import watch_terminal
from vmie_tui.screens.frame.terminal import OrderedKeys
from vmie_tui.screens.frame.theme import ANSI_VARIABLES, THEME, VARIABLES


class Themed(OrderedKeys):
    TITLE = "vmie-tui"
    CSS = "Toast { max-width: 70; } Screen { background: $background; }"

    def __init__(self) -> None:
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        self.animation_level = "none"
        self.register_theme(THEME)
        self.theme = "ansi-dark" if plain else "vmie"

    def run(self, **options: Any) -> Any:
        """As Textual's; and gone when the terminal is."""
        watch_terminal()
        return super().run(**options)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return ANSI_VARIABLES if self.current_theme.ansi else VARIABLES
