"""``vmie-tui launch``, ``instance`` and ``image``: what is done with an AMI once it is made."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vmie_tui.commands.common import aws_session, json_option, out, out_json, pass_session, say, sure, yes_option
from vmie_tui.commands.session import Session
from vmie_tui.model.errors import EXIT_FAILED, EXIT_OK, ErrorKind, ServiceError

if TYPE_CHECKING:
    from vmie_tui.model.machine import Machine
    from vmie_tui.model.plan import ImportPlan
    from vmie_tui.services.aws.ec2.image_info import Image
    from vmie_tui.services.aws.ec2.launch import InstanceState
    from vmie_tui.services.aws.session import Aws

F = TypeVar("F", bound=Callable[..., Any])
TEST_TAGS = {"vmie-tui": "test launch"}  # the screens' too
AMI, INSTANCE = re.compile(r"ami-[0-9a-f]{8,17}"), re.compile(r"i-[0-9a-f]{8,17}")
SMALLEST = (1, 1024)  # vCPUs, MiB: when nothing says what the machine had

region_option = click.option("--region", help="Region it is in; the profile's when left out.")


# -- launch


@click.command("launch")
@click.argument("what", metavar="AMI|JOB")
@region_option
@click.option("--instance-type", metavar="TYPE", help="When left out, the smallest that is like the machine was.")
@click.option("--cpus", type=click.IntRange(1), help="vCPUs the type must have, when the machine is not known.")
@click.option("--memory", type=click.IntRange(1), metavar="MIB", help="Memory it must have, likewise.")
@click.option("--subnet", metavar="ID", default="", help="Subnet; one of the default VPC when left out.")
@click.option("--key", metavar="NAME", default="", help="Key pair to log in with.")
@click.option("--reachable", is_flag=True, help="In the default security group; else in one that lets nothing through.")
@click.option("--wait", is_flag=True, help="Wait for the status checks; exit code 1 when they fail.")
@json_option
@pass_session
def launch_command(session: Session, /, what: str, region: str | None, wait: bool, as_json: bool, **chosen: Any) -> int:
    """Launch a test instance of an AMI, or of the AMI a job has made.

    It runs, and costs, until it is terminated: vmie-tui instance ID --terminate.

    \b
    Example: vmie-tui launch ami-0123456789abcdef0 --wait
    """
    image_id, region, machine = _ami_of(session, what, region)
    return test_launch(session, image_id, region, machine, wait=wait, as_json=as_json, **chosen)


def test_launch(
    session: Session,
    image_id: str,
    region: str,
    machine: Machine | None,
    *,
    profile_name: str | None = None,
    instance_type: str | None = None,
    cpus: int | None = None,
    memory: int | None = None,
    subnet: str = "",
    key: str = "",
    reachable: bool = False,
    wait: bool,
    as_json: bool,
) -> int:
    """Launch, say so, and wait for the checks if wanted; the exit code. ``machine``: what it was made of, if known."""
    from vmie_tui.services.aws.ec2.image_info import describe_image
    from vmie_tui.services.aws.ec2.launch import LaunchRequest, launch, wait_for_checks

    with ExitStack() as held:
        aws = aws_session(session, held, read_only=False, profile_name=profile_name)
        image = describe_image(aws, region, image_id)
        kind = instance_type or _pick(aws, region, image, _needs(machine, cpus, memory))
        request = LaunchRequest(
            image.id,
            kind,
            secrets.token_hex(16),
            subnet,
            key,
            not reachable,
            {"Name": f"test of {image.tags.get('Name') or image.name or image.id}", **TEST_TAGS},
        )
        made = launch(aws, region, request)
        say(f"{image.id}: {made.id} ({made.instance_type}) is starting")
        seen = wait_for_checks(aws, region, made.id, on_state=_narrator()) if wait else None
    if as_json:
        out_json({**asdict(made), **(_state_json(seen) if seen else {})})
    else:
        out(made.id if seen is None else f"{made.id}  {_state_words(seen)}")
    return EXIT_OK if seen is None or seen.healthy else EXIT_FAILED


def _ami_of(session: Session, what: str, region: str | None) -> tuple[str, str, Machine | None]:
    """(AMI, Region, the machine it was made of when that is known) of an AMI's or a job's id."""
    if AMI.fullmatch(what):
        return what, region or session.settings.profile().aws.region, None
    from vmie_tui.model import plan as plans
    from vmie_tui.operations.jobs import JobClient

    client = JobClient(session.settings)
    view = client.job(what)
    plan = client.plan(view.id)
    if not view.image_id or not isinstance(plan, plans.ImportPlan):
        raise ServiceError(
            ErrorKind.CONFLICT,
            "this job has made no AMI" if view.state.terminal else f"this job is {view.state.value}: no AMI yet",
            subject=view.id,
            remedy="Give a job of the routes image, image-direct or unmodified that is done",
        )
    return view.image_id, region or plan.region, known_machine(session, plan)


def known_machine(session: Session, plan: ImportPlan) -> Machine | None:
    """The machine as the inventory had it when it was last read; vCenter is not asked again for its size."""
    from vmie_tui.model.plan import VmSource
    from vmie_tui.services.vsphere.cache import load_cached

    profile = session.settings.profile(plan.profile)
    if not isinstance(plan.source, VmSource) or profile.vcenter is None:
        return None
    found = load_cached(session.settings.cache_dir, profile.vcenter)
    wanted = plan.source.moid
    return next((machine for machine in found.machines if machine.moid == wanted), None) if found else None


def _needs(machine: Machine | None, cpus: int | None, memory: int | None) -> tuple[int, int]:
    """(vCPUs, MiB) the type must have: as asked for, else as the machine had them."""
    known = (machine.cpus, machine.memory_mib) if machine is not None else SMALLEST
    return cpus or known[0], memory or known[1]


def _pick(aws: Aws, region: str, image: Image, needs: tuple[int, int]) -> str:
    from vmie_tui.services.aws.ec2.launch import pick_instance_type

    processor, mode = image.architecture or "x86_64", image.boot_mode or None
    return pick_instance_type(aws, region, *needs, processor, mode, ena=image.ena).name


def _narrator() -> Callable[[InstanceState], None]:
    """Says each state once."""
    said: list[str] = []

    def tell(seen: InstanceState) -> None:
        words = f"{seen.id}  {_state_words(seen)}"
        if [words] != said[-1:]:
            said.append(words)
            say(words)

    return tell


def _state_words(seen: InstanceState) -> str:
    checks = (("system", seen.system_check), ("instance", seen.instance_check))
    parts = [seen.state, *(f"{name} check {value}" for name, value in checks if value), seen.reason]
    return "  ".join(part for part in parts if part)


def _state_json(seen: InstanceState) -> dict[str, Any]:
    return {**asdict(seen), "healthy": seen.healthy}


# -- instance


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
    from vmie_tui.services.aws.ec2 import launch

    if not INSTANCE.fullmatch(instance_id):
        raise click.BadParameter(f"{instance_id!r} reads not like i-0123456789abcdef0", param_hint="ID")
    if sum((console, screenshot is not None, terminate, wait)) > 1:
        raise click.UsageError("choose one of --console, --screenshot, --terminate and --wait")
    with ExitStack() as held:
        aws = aws_session(session, held, read_only=not terminate)
        region = region or aws.region
        if console:
            text = launch.console_output(aws, region, instance_id)
            if as_json:
                out_json({"id": instance_id, "console": text})
            else:
                _print_console(instance_id, text)
            return EXIT_OK
        if screenshot is not None:
            _save(screenshot, launch.screenshot(aws, region, instance_id))
            say(f"{instance_id}: saved to {screenshot}")
            if as_json:
                out_json({"id": instance_id, "file": str(screenshot)})
            return EXIT_OK
        if terminate:
            seen = launch.state(aws, region, instance_id)
            sure(
                f"Terminate {instance_id} ({seen.instance_type} of {seen.image_id}, {seen.state}) and its volumes?", yes
            )
            launch.terminate(aws, region, instance_id)
            seen = launch.state(aws, region, instance_id)
        elif wait:
            seen = launch.wait_for_checks(aws, region, instance_id, on_state=_narrator())
        else:
            seen = launch.state(aws, region, instance_id)
    if as_json:
        out_json(_state_json(seen))
    else:
        out(f"{seen.id}  {_state_words(seen)}")
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


# -- image


@click.command("image")
@click.argument("image_id", metavar="AMI")
@region_option
@click.option("--copy-to", multiple=True, metavar="REGION", help="Copy it to this Region; repeatable.")
@click.option("--rename", metavar="NAME", help="Set the Name tag of the AMI and its snapshots.")
@click.option("--deregister", is_flag=True, help="Deregister it and delete its snapshots that no other AMI uses.")
@click.option("--keep-snapshots", is_flag=True, help="With --deregister: leave the snapshots.")
@click.option("--wait", is_flag=True, help="With --copy-to: wait until the copies are available.")
@yes_option
@json_option
@pass_session
def image_command(
    session: Session,
    /,
    *,
    image_id: str,
    region: str | None,
    copy_to: tuple[str, ...],
    rename: str | None,
    deregister: bool,
    keep_snapshots: bool,
    wait: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Show an AMI; copy it to other Regions, rename it, or deregister it.

    \b
    Examples: vmie-tui image ami-0123456789abcdef0 --copy-to eu-central-1 --wait
              vmie-tui image ami-0123456789abcdef0 --rename web-2026
              vmie-tui image ami-0123456789abcdef0 --deregister
    """
    from vmie_tui.services.aws.ec2 import images

    if not AMI.fullmatch(image_id):
        raise click.BadParameter(f"{image_id!r} reads not like ami-0123456789abcdef0", param_hint="AMI")
    if sum((bool(copy_to), rename is not None, deregister)) > 1:
        raise click.UsageError("choose one of --copy-to, --rename and --deregister")
    if (keep_snapshots and not deregister) or (wait and not copy_to):
        raise click.UsageError("--keep-snapshots belongs to --deregister, --wait to --copy-to")
    with ExitStack() as held:
        aws = aws_session(session, held, read_only=not (copy_to or rename is not None or deregister))
        region = region or aws.region
        found = images.describe_image(aws, region, image_id)
        if copy_to:
            return _copy(aws, region, found, copy_to, wait=wait, as_json=as_json)
        if deregister:
            fate = "keep" if keep_snapshots else "delete those no other AMI uses of"
            sure(f"Deregister {found.id} ({found.name}), and {fate} {', '.join(found.snapshot_ids)}?", yes)
            gone = images.deregister_image(aws, region, image_id, snapshots=not keep_snapshots)
            for ident, why in gone.kept.items():
                say(f"{ident} is kept: {why}")
            if as_json:
                out_json(asdict(gone))
            else:
                out(f"{gone.image_id}  deregistered" + (f", deleted {', '.join(gone.deleted)}" if gone.deleted else ""))
            return EXIT_OK
        if rename is not None:
            images.rename(aws, region, image_id, rename)
            found = images.describe_image(aws, region, image_id)
    if as_json:
        out_json({**asdict(found), "region": region})
    else:
        for label, text in _image_rows(found, region):
            out(f"{label:<13}{text}")
    return EXIT_OK


def _copy(aws: Aws, region: str, image: Image, regions: tuple[str, ...], *, wait: bool, as_json: bool) -> int:
    from vmie_tui.services.aws.ec2.images import CopyRequest, copy_image, wait_for_image

    copies = []
    for to in dict.fromkeys(regions):
        request = CopyRequest(image.id, region, image.name, client_token=secrets.token_hex(16), tags=image.tags)
        made = copy_image(aws, to, request)
        say(f"{image.id}: copied to {to} as {made.id}")
        copies.append((to, made))
    if wait:
        copies = [(to, wait_for_image(aws, to, made.id)) for to, made in copies]
    if as_json:
        out_json([{"region": to, "image_id": made.id, "state": made.state} for to, made in copies])
    else:
        for to, made in copies:
            out(f"{to}  {made.id}  {made.state}")
    return EXIT_OK


def _image_rows(image: Image, region: str) -> list[tuple[str, str]]:
    rows = [
        ("image", f"{image.id}  {image.name}  ({region})"),
        ("state", image.state),
        ("boots", "  ".join(part for part in (image.architecture, image.boot_mode or "boot mode by AWS") if part)),
        ("platform", image.platform),
    ]
    rows += [("disk", f"{disk.device}  {disk.snapshot_id}  {disk.size_gib} GiB") for disk in image.disks]
    rows += [("tag", f"{key}={value}") for key, value in sorted(image.tags.items())]
    return [row for row in rows if row[1]]
