"""The theme, and the variables style sheets use besides Textual's own."""

from __future__ import annotations

from textual.theme import Theme

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
