"""The command line: ``vmie-tui`` opens the app, every other thing it can do is a command. Errors become one line.

Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a rule, 4 needs login, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from vmie_tui.commands.session import Session
from vmie_tui.commands.start import open_app
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, exit_code
from vmie_tui.known_secrets import hidden, remember_environment, trace
from vmie_tui.lazy_modules import load
from vmie_tui.model.errors import VmieError
from vmie_tui.model.formatting import one_line, plain
from vmie_tui.private_files import write_private
from vmie_tui.settings import correct_facts

PROGRAM = "vmie-tui"
# Imported when they are needed: the app's first paint does without them.
ROOT = "vmie_tui.commands.root:cli"
REDACTED = "vmie_tui.model.rules.secrets:redacted"
KNOWN_SECRETS = "vmie_tui.operations.bundle:known_secrets"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. Nothing but SystemExit of a nested interpreter gets out."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    _write_anything()
    try:
        correct_facts()
        alone = not words and sys.stdin.isatty() and sys.stdout.isatty()
        code = open_app(Session()) if alone else _command(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a user gets a line and a file, never a traceback
        return _failed(error, as_json="--json" in words)
    return code


def _failed(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong; the exit code for it."""
    if isinstance(error, VmieError):
        if as_json:
            _print_problem(error)
        _say(f"{PROGRAM}: {one_line(str(error))}")
        return exit_code(error.kind)
    if isinstance(error, BrokenPipeError):
        _forget_output()  # whoever read us has had enough
        return EXIT_OK
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG}:
        _forget_output()
        _say(f"{PROGRAM}: the output could not be written: {error.strerror}. Free some space where it goes")
    else:
        _say(f"{PROGRAM}: unexpected {type(error).__name__}; please report it with {_crash_file(error)}")
    return EXIT_FAILED


def _write_anything() -> None:
    """A name that the terminal's encoding lacks is written with escapes, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _print_problem(error: VmieError) -> None:
    """With ``--json`` an error is data too: ``{"error": {...}}`` on standard output."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps({"error": error.problem.to_json()}, indent=2) + "\n")
        sys.stdout.flush()


def _forget_output() -> None:
    """What is left in the buffer goes nowhere, so that the interpreter's end does not stumble over it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(words: list[str]) -> int:
    """What click makes of the words. It is imported here: the app's first paint does without it."""
    import click

    try:
        return int(load(ROOT).main(args=words, prog_name=PROGRAM, standalone_mode=False) or EXIT_OK)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _say(shown.getvalue().rstrip("\n"))  # it may repeat a name that a script took from vCenter
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None


def _say(text: str) -> None:
    """A line of narration."""
    sys.stderr.write(f"{plain(text)}\n")
    sys.stderr.flush()


def _without_secrets(text: str) -> str:
    """What this machine's files and variables hold is taken out too, as far as the settings can be read."""
    words: frozenset[str] = frozenset()
    with contextlib.suppress(Exception):
        words = load(KNOWN_SECRETS)(Session().settings)
    return str(load(REDACTED)(hidden(text), words))


def _crash_file(error: Exception) -> Path:
    """Write the traceback where the user can find it."""
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    remember_environment()
    text = _without_secrets(trace(error))
    for folder in (Path(os.environ.get("VMIE_STATE_DIR") or tempfile.gettempdir()), Path(tempfile.gettempdir())):
        path = folder / f"vmie-tui-{name}"
        try:
            write_private(path, text.encode("utf-8", "backslashreplace"), new=True)
        except (OSError, VmieError):
            continue
        return path
    return Path("nowhere: no folder could be written")
