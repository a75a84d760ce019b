"""Values and rules: no I/O, no third-party import but humanize."""
