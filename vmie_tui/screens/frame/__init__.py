"""What all screens share: the host they run in, base classes, dialogs, palette, help, theme, terminal."""
