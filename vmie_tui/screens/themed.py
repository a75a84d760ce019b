"""What every app of this program looks like: the theme, no animation, and no colour where the user wants none."""

from __future__ import annotations

import os

from vmie_tui.screens.keys import OrderedKeys
from vmie_tui.screens.theme import ANSI_VARIABLES, THEME, VARIABLES


class Themed(OrderedKeys):
    TITLE = "vmie-tui"
    CSS = "Toast { max-width: 70; } Screen { background: $background; }"

    def __init__(self) -> None:
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        self.animation_level = "none"
        self.register_theme(THEME)
        self.theme = "ansi-dark" if plain else "vmie"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return ANSI_VARIABLES if self.current_theme.ansi else VARIABLES
