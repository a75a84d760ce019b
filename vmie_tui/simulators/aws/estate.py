"""What the demo's accounts own besides buckets: instances and images, some of which cannot be exported.

Every documented reason not to export something occurs once, so that the demo shows each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from vmie_tui.model import facts
from vmie_tui.simulators.aws.ec2_models import Ec2Models, Mapping, bill_as
from vmie_tui.simulators.aws.export_checks import canonical_id
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.s3_buckets import owner_acl
from vmie_tui.simulators.aws.snapshots import SnapshotStore, new_id
from vmie_tui.simulators.fleet.tiny import make_boot

MIB = 1 << 20
EXPORT_BUCKET = "vmie-demo-export"
ROOT, MARK = "/dev/sda1", "estate"


class Owner(Protocol):
    """The parts of an account that are populated."""

    account: str
    region: str
    s3: S3Service
    snapshots: SnapshotStore
    ec2: Ec2Models


@dataclass(frozen=True, slots=True)
class Wanted:
    """One image, and the instance launched from it ("" for none). ``gib``: of each volume; the first one has data."""

    name: str
    instance: str = ""
    gib: tuple[int, ...] = (1,)
    details: str = "Linux/UNIX"
    usage: str = "RunInstances"
    boot_mode: str = "legacy-bios"
    imported: bool = True
    encrypted: bool = False
    product_code: str = ""
    owner: str = ""
    ephemeral: bool = False
    image_gone: bool = False
    kind: str = "t3.medium"


WANTED = (
    Wanted("dub-web-01", "dub-web-01"),
    Wanted("dub-files-02 with data", "dub-files-02", gib=(1, 2)),
    Wanted("dub-build-03", boot_mode="uefi", imported=False),
    Wanted("fra-app-04", "fra-app-04", image_gone=True),
    Wanted("fra-erp-05", "fra-erp-05", details="Windows", usage="RunInstances:0002"),
    Wanted("fra-report-06", details="Windows BYOL", usage="RunInstances:0800"),
    Wanted("fra-db-07", details="SQL Server Standard", usage="RunInstances:0004", imported=False),
    Wanted("firewall appliance", product_code="d5qv2m1x", imported=False),
    Wanted("payroll, encrypted", encrypted=True),
    Wanted("archive of 2019", gib=(1536,)),
    Wanted("scratch space", ephemeral=True, imported=False),
    Wanted("golden image of the other account", owner="other"),
    Wanted("starts either way", boot_mode="uefi-preferred", imported=False),
)


def furnish(owner: Owner, other: str) -> None:
    """Creates the demo's images and instances in an account's Region, and a bucket for exports.

    ``other`` is the account that shares an image with it.
    """
    for info in owner.snapshots.all():
        if info.token == MARK:  # of an earlier run: images and instances were in memory and are gone
            owner.ec2.hide_snapshot(info)
    shared = _content(owner)
    for wanted in WANTED:
        _make(owner, wanted, shared, other)
    export_bucket(owner, EXPORT_BUCKET)


def export_bucket(owner: Owner, name: str) -> None:
    """A bucket that instance exports may go to: access control lists on, the service granted what the guides say."""
    if owner.s3.store.bucket(name) is not None:
        return
    owner.s3.make_bucket(name, owner.region)
    access = facts.load("access")["export_bucket"]
    ownership = owner.s3.store.bucket(name)
    assert ownership is not None
    document = ownership.config["ownershipControls"].replace(
        access["object_ownership"]["required_not"], access["object_ownership"]["set_to"]
    )
    owner.s3.store.set_config(name, "ownershipControls", document)
    grants = [(canonical_id(owner.region), item["permission"]) for item in access["acl_grants"]]
    owner.s3.store.set_config(name, "acl", owner_acl(owner.account, grants))


def _content(owner: Owner) -> str:
    """A snapshot with a small Linux that starts; all volumes with data share its bytes."""
    info = owner.snapshots.create(region=owner.region, size_gib=1, origin="volume", state="completed", token=MARK)
    path = owner.snapshots.data_path(info.id)
    make_boot(path, facts.GIB, 24 * MIB, "estate")
    owner.snapshots.map_data(info.id)
    return info.id


def _make(owner: Owner, wanted: Wanted, content: str, other: str) -> None:
    name = new_id("import-ami") if wanted.imported else wanted.name
    source = f"AWS-VMImport service: {wanted.details.partition(' ')[0].partition('/')[0]} - {wanted.name}"
    mappings = []
    for number, gib in enumerate(wanted.gib):
        info = owner.snapshots.create(
            region=owner.region,
            size_gib=gib,
            description=f"Created by AWS-VMImport service for {name}" if wanted.imported else wanted.name,
            parent="" if number or gib > 1 else content,
            encrypted=wanted.encrypted,
            kms_key=owner.ec2.default_key(owner.region) if wanted.encrypted else "",
            state="completed",
            token=MARK,
        )
        owner.ec2.show_snapshot(info)
        device = ROOT if number == 0 else f"/dev/sd{chr(ord('a') + number)}"
        mappings.append(Mapping(device, info.id, gib, wanted.encrypted))
    ident = owner.ec2.register(
        owner.region,
        name=name,
        mappings=mappings,
        platform_details=wanted.details,
        usage=wanted.usage,
        description=source if wanted.imported else wanted.name,
        boot_mode=wanted.boot_mode,
        virtual_devices={"/dev/sdb": "ephemeral0"} if wanted.ephemeral else {},
    )
    backend = owner.ec2.backend(owner.region)
    backend.create_tags([ident], {"Name": wanted.name})
    image = backend.amis[ident]
    if wanted.product_code:
        image.product_codes = [{"ProductCodeId": wanted.product_code, "ProductCodeType": "marketplace"}]
    if wanted.owner:
        image.owner_id = other
    if wanted.instance:
        _launch(owner, image, wanted)
    if wanted.image_gone:
        del backend.amis[ident]


def _launch(owner: Owner, image: Any, wanted: Wanted) -> None:
    names = ("SnapshotId", "VolumeSize", "DeleteOnTermination", "VolumeType")
    mappings = [
        {"DeviceName": item["DeviceName"], "Ebs": {name: item["Ebs"][name] for name in names}}
        for item in image.block_device_mappings
        if "Ebs" in item
    ]
    reservation = owner.ec2.backend(owner.region).run_instances(
        image.id,
        1,
        None,
        [],
        instance_type=wanted.kind,
        is_instance_type_default=False,
        region_name=owner.region,
        block_device_mappings=mappings,
        tags={"instance": {"Name": wanted.instance}},
    )
    for instance in reservation.instances:
        bill_as(instance, image)
