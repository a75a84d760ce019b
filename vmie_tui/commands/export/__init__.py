"""`vmie-tui export` and `vmie-tui deploy`."""
