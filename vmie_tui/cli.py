"""The command line: ``vmie-tui`` opens the app, every other thing it can do is a command. Errors become one line.

Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a rule, 4 needs login, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from vmie_tui import __version__
from vmie_tui.commands.common import Session, run_app, say
from vmie_tui.commands.demo import demo, simulate
from vmie_tui.commands.explain import explain_command
from vmie_tui.commands.importing import import_command
from vmie_tui.commands.inventory import inventory
from vmie_tui.commands.jobs import cancel, job, jobs, pause, resume, worker
from vmie_tui.model.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, VmieError, exit_code

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PROGRAM = "vmie-tui"


@click.group(invoke_without_command=True, context_settings=CONTEXT)
@click.option("--profile", metavar="NAME", help="Profile of the configuration file to use.")
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context, profile: str | None) -> int:
    """Move virtual machines between VMware vCenter and Amazon EC2.

    Without a command the app opens. 'vmie-tui demo' shows everything with simulated services.
    """
    session = context.obj = Session(profile)
    return open_app(session) if context.invoked_subcommand is None else EXIT_OK


def open_app(session: Session) -> int:
    """Run the app until it is closed; its exit code."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("the app needs a terminal; see 'vmie-tui --help' for the commands that do not")
    return run_app(session.settings)


for command in (demo, simulate, inventory, import_command, jobs, job, cancel, pause, resume, worker, explain_command):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. Nothing but SystemExit of a nested interpreter gets out."""
    try:
        code = cli.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return EXIT_INTERRUPTED
    except VmieError as error:
        say(f"{PROGRAM}: {error}")
        return exit_code(error.kind)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has had enough
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - a user gets a line and a file, never a traceback
        say(f"{PROGRAM}: unexpected {type(error).__name__}; please report it with {_crash_file(error)}")
        return EXIT_FAILED
    return int(code or 0)


def _crash_file(error: Exception) -> Path:
    """Write the traceback where the user can find it."""
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    text = "".join(traceback.format_exception(error))
    for folder in (Path(os.environ.get("VMIE_STATE_DIR") or tempfile.gettempdir()), Path(tempfile.gettempdir())):
        path = folder / f"vmie-tui-{name}"
        try:
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return path
    return Path("nowhere: no folder could be written")
