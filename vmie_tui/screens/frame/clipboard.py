"""Copies text out of a terminal, over SSH and inside tmux: by OSC 52 or tmux's buffer, and always to a file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from textual import work

from vmie_tui.screens.frame.base import FrameScreen

OSC52_MOST = 74_994  # bytes of base64 that terminals take
TMUX_SECONDS = 2


def copy_text(
    text: str, *, osc52: Callable[[str], None], save: Callable[[str], str], environ: dict[str, str] | None = None
) -> str:
    """Put ``text`` where it can be pasted from; says in words where that is.

    ``osc52`` asks the terminal, ``save`` writes a file and returns its path. Inside tmux, whose default drops OSC 52,
    ``tmux load-buffer -w`` is asked instead. Blocks for up to `TMUX_SECONDS`: call it in a thread.
    """
    env = os.environ if environ is None else environ
    path = save(text)
    if env.get("TMUX") and _tmux(text):
        return f"Copied to tmux's buffer (prefix ] pastes) and to {path}"
    if len(text.encode()) * 4 / 3 < OSC52_MOST and not env.get("TMUX"):
        osc52(text)
        return f"Copied by the terminal (OSC 52) and to {path}"
    return f"Saved to {path}"


def _tmux(text: str) -> bool:
    tmux = shutil.which("tmux")
    if tmux is None:
        return False
    try:
        subprocess.run(  # noqa: S603 - no shell, the text goes by stdin
            [tmux, "load-buffer", "-w", "-"],
            input=text.encode(),
            check=True,
            timeout=TMUX_SECONDS,
            capture_output=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def copy_in_thread(screen: FrameScreen, name: str, text: str) -> None:
    """To the clipboard or tmux, and to a file named ``name``; blocks, so call it in a thread."""
    app = screen.app
    try:
        said = copy_text(
            text,
            osc52=lambda value: app.call_from_thread(app.copy_to_clipboard, value),
            save=lambda value: screen.operations.save_text(name, value),
        )
    except OSError as error:
        app.call_from_thread(screen.tell, f"Could not copy: {error.strerror}", error=True)
    else:
        app.call_from_thread(screen.tell, said)


class Copying(FrameScreen):
    """A screen that copies text."""

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def copy(self, name: str, text: str) -> None:
        """Copy ``text``; the toast says where it went."""
        copy_in_thread(self, name, text)
