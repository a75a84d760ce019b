"""``vmie-tui image``: an AMI shown, copied, renamed or deregistered."""

from __future__ import annotations

from dataclasses import asdict

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, region_option, say, sure, yes_option
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.operations.images import AMI, Images
from vmie_tui.services.aws.ec2.image_info import Image


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
    if not AMI.fullmatch(image_id):
        raise click.BadParameter(f"{image_id!r} reads not like ami-0123456789abcdef0", param_hint="AMI")
    if sum((bool(copy_to), rename is not None, deregister)) > 1:
        raise click.UsageError("choose one of --copy-to, --rename and --deregister")
    if (keep_snapshots and not deregister) or (wait and not copy_to):
        raise click.UsageError("--keep-snapshots belongs to --deregister, --wait to --copy-to")
    images = session.operations.images
    region = region or images.region
    found = images.image(region, image_id)
    if copy_to:
        return _copy(images, region, found, copy_to, wait=wait, as_json=as_json)
    if deregister:
        fate = "keep" if keep_snapshots else "delete those no other AMI uses of"
        sure(f"Deregister {found.id} ({found.name}), and {fate} {', '.join(found.snapshot_ids)}?", yes)
        gone = images.deregister(region, image_id, snapshots=not keep_snapshots)
        for ident, why in gone.kept.items():
            say(f"{ident} is kept: {why}")
        if as_json:
            out_json(asdict(gone))
        else:
            out(f"{gone.image_id}  deregistered" + (f", deleted {', '.join(gone.deleted)}" if gone.deleted else ""))
        return EXIT_OK
    if rename is not None:
        images.rename(region, image_id, rename)
        found = images.image(region, image_id)
    if as_json:
        out_json({**asdict(found), "region": region})
    else:
        for label, text in _image_rows(found, region):
            out(f"{label:<13}{text}")
    return EXIT_OK


def _copy(images: Images, region: str, image: Image, regions: tuple[str, ...], *, wait: bool, as_json: bool) -> int:
    copies = []
    for to in dict.fromkeys(regions):
        made = images.copy(region, image, to, image.name)
        say(f"{image.id}: copied to {to} as {made.id}")
        copies.append((to, made))
    if wait:
        copies = [(to, images.wait_for(to, made.id)) for to, made in copies]
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
