"""``vmie-tui`` as click sees it: every command by its name, each one's module imported when it is asked for."""

from __future__ import annotations

import sys

import click

from vmie_tui import __version__
from vmie_tui.commands.lazy_commands import LazyGroup
from vmie_tui.commands.session import Session
from vmie_tui.commands.start import open_app
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.model.example_profile import EXAMPLE

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
COMMANDS = {
    "demo": ("demo:demo", "Open the app on a simulated vCenter and a simulated AWS: no account, no network."),
    "doctor": (
        "doctor:doctor_command",
        "Check AWS, the service role, the bucket, permissions, vCenter and this machine; name what is missing.",
    ),
    "simulate": ("simulate:simulate", "Run the simulated vCenter and AWS alone, until interrupted."),
    "inventory": (
        "inventory:inventory",
        "List the virtual machines of the vCenter, each with a verdict on its configuration.",
    ),
    "preflight": (
        "import_.preflight:preflight_command",
        "Say what would make an import fail, without importing anything.",
    ),
    "import": (
        "import_.command:import_command",
        "Turn virtual machines, disk images and EBS snapshots into AMIs, snapshots or volumes.",
    ),
    "launch": ("launch:launch_command", "Launch a test instance of an AMI, or of the AMI a job has made."),
    "instance": (
        "instance:instance_command",
        "Look at a test instance: its state and status checks, its console, a picture of its screen; or end it.",
    ),
    "image": ("image:image_command", "Show an AMI; copy it to other Regions, rename it, or deregister it."),
    "export": (
        "export:export_command",
        "Export an instance (i-…) or an image (ami-…) of EC2 as a VM: into S3, and on to this machine if wanted.",
    ),
    "deploy": (
        "deploy:deploy_command",
        "Make a virtual machine NAME in vCenter of a disk image or OVA, here or in S3.",
    ),
    "tasks": (
        "tasks:tasks_command",
        "List the tasks of VM import and export: imports of images, snapshots and instances, exports of both kinds.",
    ),
    "task": (
        "task:task_command",
        "Show one task: its timeline, what its message means and what to do, the time it takes against the usual.",
    ),
    "bundle": (
        "bundle:bundle_command",
        "Pack what is known of a task or job, and of this program, into a zip for a ticket.",
    ),
    "jobs": ("jobs:jobs", "List the jobs, newest first."),
    "job": ("job:job", "Show one job."),
    "cancel": ("cancel:cancel", "Stop jobs for good: lease, uploads, snapshot and import task are cleaned up."),
    "pause": ("pause:pause", "Stop jobs for now; what was uploaded is kept."),
    "resume": ("resume:resume", "Go on with jobs that were paused, wait for a login or failed, where they stopped."),
    "fallback": (
        "fallback:fallback",
        "Import what AWS refused to convert as it is, from the bytes that are in AWS already.",
    ),
    "replicate": (
        "replicate.group:replicate_command",
        "Copy running VMs into EC2 again and again, only what changed, until they are cut over.",
    ),
    "worker": ("worker:worker", "Do the work of all jobs, in the foreground."),
    "convert": ("convert:convert_command", "Convert a disk image: SOURCE into DESTINATION."),
    "explain": ("explain:explain_command", "Explain an error: TEXT, or '-' for standard input (a pasted log)."),
    "facts": ("facts:facts_command", "List the documented facts that have all WORDS, with their sources."),
}  # name: where it stands below vmie_tui.commands, and the first sentence of its help, which a test holds


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
