"""The exit codes of ``vmie-tui``. Scripts rely on them: none changes its meaning."""

from __future__ import annotations

from vmie_tui.model.errors import ErrorKind

EXIT_OK = 0
EXIT_FAILED = 1  # it was tried, and did not work
EXIT_USAGE = 2  # what was asked for makes no sense: an unknown option, a name that several things have
EXIT_REFUSED = 3  # a rule of VM import and export, or read-only, says no: nothing was tried
EXIT_LOGIN = 4  # vCenter or AWS wants a login first
EXIT_INTERRUPTED = 130  # by Ctrl+C, or a job was cancelled


def exit_code(kind: ErrorKind) -> int:
    """The exit code that stands for an error."""
    return {
        ErrorKind.INVALID: EXIT_USAGE,
        ErrorKind.REFUSED: EXIT_REFUSED,
        ErrorKind.LOGIN: EXIT_LOGIN,
        ErrorKind.CANCELLED: EXIT_INTERRUPTED,
    }.get(kind, EXIT_FAILED)
