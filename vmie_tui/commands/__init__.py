"""The commands behind ``vmie-tui``, one file per subject. stdout is data, stderr is narration."""
