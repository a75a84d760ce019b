"""``vmie-tui`` as click sees it: every command by its name, each one's module imported when it is asked for."""

from __future__ import annotations

import sys

import click

from vmie_tui import __version__
from vmie_tui.commands.lazy import LazyGroup
from vmie_tui.commands.session import Session
from vmie_tui.commands.start import open_app
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.model.example_profile import EXAMPLE

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
COMMANDS = {
    "demo": "demo:demo",
    "doctor": "doctor:doctor_command",
    "simulate": "simulate:simulate",
    "inventory": "inventory:inventory",
    "preflight": "import_.preflight:preflight_command",
    "import": "import_.command:import_command",
    "launch": "launch:launch_command",
    "instance": "instance:instance_command",
    "image": "image:image_command",
    "export": "export:export_command",
    "deploy": "deploy:deploy_command",
    "tasks": "tasks:tasks_command",
    "task": "task:task_command",
    "bundle": "bundle:bundle_command",
    "jobs": "jobs:jobs",
    "job": "job:job",
    "cancel": "cancel:cancel",
    "pause": "pause:pause",
    "resume": "resume:resume",
    "fallback": "fallback:fallback",
    "replicate": "replicate.group:replicate_command",
    "worker": "worker:worker",
    "convert": "convert:convert_command",
    "explain": "explain:explain_command",
    "facts": "facts:facts_command",
}  # name: module in vmie_tui.commands, and what it calls the command


@click.group(cls=LazyGroup, lazy=COMMANDS, invoke_without_command=True, context_settings=CONTEXT)
@click.option("--profile", metavar="NAME", help="Profile of the configuration file to use.")
@click.option("--read-only", is_flag=True, help="Refuse everything that would change AWS or vCenter.")
@click.version_option(__version__, prog_name="vmie-tui")
@click.pass_context
def cli(context: click.Context, profile: str | None, read_only: bool) -> int:
    """Move virtual machines between VMware vCenter and Amazon EC2.

    Without a command the app opens. 'vmie-tui demo' shows everything with simulated services.
    """
    session = context.obj = Session(profile, read_only=read_only)
    context.call_on_close(session.close)
    if context.invoked_subcommand is not None:
        return EXIT_OK
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        if not session.settings.configured:
            raise click.UsageError(_how_to_begin(str(session.settings.config_file)))
        raise click.UsageError("the app needs a terminal; see 'vmie-tui --help' for the commands that do not")
    return open_app(session)


def _how_to_begin(config_file: str) -> str:
    """What the guided set-up would ask for, for whoever has no terminal."""
    example = "\n".join(f"    {line}" for line in EXAMPLE)
    return (
        "the app needs a terminal, and nothing is configured yet.\n"
        f"In a terminal 'vmie-tui' asks for vCenter, AWS profile, Region and bucket, and writes {config_file};\n"
        f"by hand it reads like\n\n{example}\n\n"
        "with the vCenter password in the keyring, a password_file or VMIE_VCENTER_PASSWORD.\n"
        "'vmie-tui demo --headless' shows an import with simulated services."
    )
