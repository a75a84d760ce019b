"""The theme, the variables style sheets use besides Textual's own, and the app that wears it."""

from __future__ import annotations

import os
from typing import Any

from textual.theme import Theme

from vmie_tui.screens.frame.terminal import TerminalApp
from vmie_tui.terminal_hangup import watch_terminal

# Colours are members of the 256 colour cube, so they look the same without truecolor.
THEME = Theme(
    name="vmie",
    primary="#5fafff",
    secondary="#87afd7",
    accent="#ffaf5f",
    success="#87d787",
    warning="#ffd75f",
    error="#ff8787",
    foreground="#d0d0d0",
    background="#121212",
    surface="#1c1c1c",
    panel="#262626",
    dark=True,
    variables={"block-cursor-background": "#005f87", "block-cursor-foreground": "#e4e4e4"},
)
VARIABLES = {"dim": "#949494", "rule": "#4e4e4e", "cursor": "#005f87", "cursor-blurred": "#303030"}
ANSI_VARIABLES = {
    "dim": "ansi_bright_black",
    "rule": "ansi_bright_black",
    "cursor": "ansi_blue",
    "cursor-blurred": "ansi_black",
}


class ThemedApp(TerminalApp):
    """Every app of this program: our theme, no animation, no colour under NO_COLOR."""

    TITLE = "vmie-tui"
    CSS = "Toast { max-width: 70; } Screen { background: $background; }"

    def __init__(self) -> None:
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        self.animation_level = "none"
        self.register_theme(THEME)
        self.theme = "ansi-dark" if plain else "vmie"

    def run(self, **options: Any) -> Any:
        """As Textual's, but ends when the terminal is closed."""
        watch_terminal()
        return super().run(**options)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return ANSI_VARIABLES if self.current_theme.ansi else VARIABLES
