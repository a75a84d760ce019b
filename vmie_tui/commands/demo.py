"""``vmie-tui demo`` and ``vmie-tui simulate``."""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from vmie_tui.commands.common import json_option, pass_session, say
from vmie_tui.commands.session import Session, check_machine, run_app
from vmie_tui.hangup import watch_terminal
from vmie_tui.settings import DEMO


@click.command()
@click.option("--headless", is_flag=True, help="Import one VM without a screen and prove the result; prints JSON.")
@click.option("--stop", is_flag=True, help="Stop the simulators of an earlier demo.")
@click.option("--speed", type=click.FloatRange(min=0.1), help="How many times as fast the simulated AWS works.")
@click.option("--vm", "vms", multiple=True, metavar="NAME", help="With --headless: what to import; repeatable.")
@pass_session
def demo(session: Session, headless: bool, stop: bool, speed: float | None, vms: tuple[str, ...]) -> int:
    """Open the app on a simulated vCenter and a simulated AWS: no account, no network."""
    if headless:
        from vmie_tui.commands.demo_headless import run

        return run(speed, vms)
    from vmie_tui.simulators import launch

    root = session.settings.demo_dir
    if stop:
        say("simulators stopped" if launch.stop(root) else "no simulators are running")
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("the demo needs a terminal; without one use 'vmie-tui demo --headless'")
    return open_demo(session, speed)


def open_demo(session: Session, speed: float | None = None) -> int:
    """Start the simulators unless they run, and open the app on them; its exit code."""
    from vmie_tui.simulators import launch

    watch_terminal()
    check_machine(session.settings)
    root = session.settings.demo_dir
    if launch.running(root) is None:
        say("starting the simulated vCenter and AWS…")
    launch.start(root, launch.Wanted(speed=speed or launch.DEMO_SPEED))
    if speed is not None:
        with suppress(OSError):
            launch.Admin(root)("aws", "POST", "clock", {"speed": speed})
    session.profile_name = DEMO
    code = run_app(session.reload())
    say("the simulators go on in the background; 'vmie-tui demo --stop' ends them")
    return code


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="Where to keep what is made.")
@click.option("--scale", type=click.IntRange(min=0), default=0, help="At least so many virtual machines.")
@click.option("--speed", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Of the AWS clock.")
@click.option("--rate", type=click.IntRange(min=0), default=0, help="Bytes a second of each disk stream; 0: no limit.")
@click.option("--fleet", type=click.Choice(["company", "tiny", "odd"]), default="company", show_default=True)
@json_option
def simulate(*, folder: Path | None, scale: int, speed: float, rate: int, fleet: str, as_json: bool) -> int:
    """Run the simulated vCenter and AWS alone, until interrupted."""
    from vmie_tui.simulators.serve import main

    options = ["--scale", str(scale), "--speed", f"{speed:g}", "--rate", str(rate), "--fleet", fleet]
    options += ["--json" if as_json else "--text"]
    if folder is not None:
        say(f"serving from {folder}; ctrl+c ends it")
        return main([str(folder), *options])
    with tempfile.TemporaryDirectory(prefix="vmie-simulate-") as temporary:
        say(f"serving from {temporary}; ctrl+c ends it")
        return main([temporary, *options])
