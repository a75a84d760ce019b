"""``vmie-tui demo``: the app on a simulated vCenter and a simulated AWS."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from vmie_tui.commands.common import pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.commands.start import check_machine, run_app
from vmie_tui.lazy_modules import load
from vmie_tui.settings import DEMO
from vmie_tui.simulators import launch
from vmie_tui.terminal_hangup import watch_terminal

HEADLESS = "vmie_tui.commands.demo_headless:run"


@click.command()
@click.option("--headless", is_flag=True, help="Import one VM without a screen and prove the result; prints JSON.")
@click.option("--stop", is_flag=True, help="Stop the simulators of an earlier demo.")
@click.option("--speed", type=click.FloatRange(min=0.1), help="How many times as fast the simulated AWS works.")
@click.option("--vm", "vms", multiple=True, metavar="NAME", help="With --headless: what to import; repeatable.")
@pass_session
def demo(session: Session, headless: bool, stop: bool, speed: float | None, vms: tuple[str, ...]) -> int:
    """Open the app on a simulated vCenter and a simulated AWS: no account, no network."""
    if headless:
        code: int = load(HEADLESS)(speed, vms)
        return code
    root = session.settings.demo_dir
    if stop:
        say("simulators stopped" if launch.stop(root) else "no simulators are running")
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("the demo needs a terminal; without one use 'vmie-tui demo --headless'")
    return open_demo(session, speed)


def open_demo(session: Session, speed: float | None = None) -> int:
    """Start the simulators unless they run, and open the app on them; its exit code."""
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
