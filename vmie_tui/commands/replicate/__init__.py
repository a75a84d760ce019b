"""`vmie-tui replicate ...`, a file for each group of subcommands."""
