"""``vmie-tui instance``: a test instance looked at, or ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, region_option, say, sure, yes_option
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.operations.images import INSTANCE
from vmie_tui.services.aws.ec2.launch import InstanceState


@click.command("instance")
@click.argument("instance_id", metavar="ID")
@region_option
@click.option("--console", is_flag=True, help="Print what the guest wrote to its console.")
@click.option(
    "--screenshot", type=click.Path(path_type=Path), metavar="FILE", help="Save a picture of its screen (JPEG)."
)
@click.option("--terminate", is_flag=True, help="End it for good, with its volumes and the test's security group.")
@click.option("--wait", is_flag=True, help="Wait until the status checks have a verdict; exit code 1 when it is bad.")
@yes_option
@json_option
@pass_session
def instance_command(
    session: Session,
    /,
    *,
    instance_id: str,
    region: str | None,
    console: bool,
    screenshot: Path | None,
    terminate: bool,
    wait: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Look at a test instance: its state and status checks, its console, a picture of its screen; or end it.

    \b
    Examples: vmie-tui instance i-0123456789abcdef0 --wait
              vmie-tui instance i-0123456789abcdef0 --screenshot boot.jpg
              vmie-tui instance i-0123456789abcdef0 --terminate
    """
    if not INSTANCE.fullmatch(instance_id):
        raise click.BadParameter(f"{instance_id!r} reads not like i-0123456789abcdef0", param_hint="ID")
    if sum((console, screenshot is not None, terminate, wait)) > 1:
        raise click.UsageError("choose one of --console, --screenshot, --terminate and --wait")
    images = session.operations.images
    region = region or images.region
    if console:
        text = images.console(region, instance_id)
        if as_json:
            out_json({"id": instance_id, "console": text})
        else:
            _print_console(instance_id, text)
        return EXIT_OK
    if screenshot is not None:
        _save(screenshot, images.picture(region, instance_id))
        say(f"{instance_id}: saved to {screenshot}")
        if as_json:
            out_json({"id": instance_id, "file": str(screenshot)})
        return EXIT_OK
    seen = images.wait_for_checks(region, instance_id, narrator()) if wait else images.state(region, instance_id)
    if terminate:
        sure(f"Terminate {instance_id} ({seen.instance_type} of {seen.image_id}, {seen.state}) and its volumes?", yes)
        images.terminate(region, instance_id)
        seen = images.state(region, instance_id)
    if as_json:
        out_json(state_json(seen))
    else:
        out(f"{seen.id}  {state_words(seen)}")
    return EXIT_OK if not wait or seen.healthy else EXIT_FAILED


def _print_console(instance_id: str, text: str) -> None:
    for line in text.splitlines():
        out(line)
    if not text:
        say(f"{instance_id}: AWS has no console output yet; it comes some minutes after the start")


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ServiceError(
            ErrorKind.LOCAL, "the picture cannot be written", subject=str(path), detail=error.strerror or ""
        ) from error


def narrator() -> Callable[[InstanceState], None]:
    """Says each state once."""
    said: list[str] = []

    def tell(seen: InstanceState) -> None:
        words = f"{seen.id}  {state_words(seen)}"
        if [words] != said[-1:]:
            said.append(words)
            say(words)

    return tell


def state_words(seen: InstanceState) -> str:
    checks = (("system", seen.system_check), ("instance", seen.instance_check))
    parts = [seen.state, *(f"{name} check {value}" for name, value in checks if value), seen.reason]
    return "  ".join(part for part in parts if part)


def state_json(seen: InstanceState) -> dict[str, Any]:
    return {**asdict(seen), "healthy": seen.healthy}
