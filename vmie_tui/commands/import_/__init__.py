"""`vmie-tui import` and `vmie-tui preflight`."""
