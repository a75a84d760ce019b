"""``vmie-tui simulate``: the simulated vCenter and AWS alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from vmie_tui.commands.common import json_option, say
from vmie_tui.simulators.serve import main


@click.command("simulate")
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="Where to keep what is made.")
@click.option("--scale", type=click.IntRange(min=0), default=0, help="At least so many virtual machines.")
@click.option("--speed", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Of the AWS clock.")
@click.option("--rate", type=click.IntRange(min=0), default=0, help="Bytes a second of each disk stream; 0: no limit.")
@click.option("--fleet", type=click.Choice(["company", "tiny", "odd"]), default="company", show_default=True)
@json_option
def simulate(*, folder: Path | None, scale: int, speed: float, rate: int, fleet: str, as_json: bool) -> int:
    """Run the simulated vCenter and AWS alone, until interrupted."""
    options = ["--scale", str(scale), "--speed", f"{speed:g}", "--rate", str(rate), "--fleet", fleet]
    options += ["--json" if as_json else "--text"]
    if folder is not None:
        say(f"serving from {folder}; ctrl+c ends it")
        return main([str(folder), *options])
    with tempfile.TemporaryDirectory(prefix="vmie-simulate-") as temporary:
        say(f"serving from {temporary}; ctrl+c ends it")
        return main([temporary, *options])
