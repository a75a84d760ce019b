"""Screens that hand text on: to the clipboard, and as a file."""

from __future__ import annotations

from textual import work

from vmie_tui.screens.frame.base import FrameScreen
from vmie_tui.screens.frame.clipboard import copy_text


class Copying(FrameScreen):
    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def copy(self, name: str, text: str) -> None:
        """Copy ``text``; the toast says where it went."""
        copy_in_thread(self, name, text)


def copy_in_thread(screen: FrameScreen, name: str, text: str) -> None:
    """Call in a thread: clipboard or tmux, and a file named ``name``."""
    app = screen.app
    try:
        said = copy_text(
            text,
            osc52=lambda value: app.call_from_thread(app.copy_to_clipboard, value),
            save=lambda value: screen.backend.save_text(name, value),
        )
    except OSError as error:
        app.call_from_thread(screen.tell, f"Could not copy: {error.strerror}", error=True)
    else:
        app.call_from_thread(screen.tell, said)
