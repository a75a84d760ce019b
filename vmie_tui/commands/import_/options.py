"""The options of ``vmie-tui import``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from vmie_tui.model.plan import (
    BootMode,
    LicenseType,
    Route,
    UploadFormat,
    Via,
)
from vmie_tui.model.rules.route_needs import ARCHITECTURES, VOLUME_TYPES

F = TypeVar("F", bound=Callable[..., Any])
option = click.option


def _values(kind: type[Any]) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


# those that replications have too
REGION = option("--region", help="Region of the AMI; the profile's when left out.")
ROLE = option("--role-name", help="The service role; vmimport when left out.")
BOOT_MODE = option("--boot-mode", type=_values(BootMode), help="How the guest boots; found out when left out.")
ARCHITECTURE = option(
    "--architecture", type=click.Choice(ARCHITECTURES), help="Route unmodified: the guest's processor."
)
ROOT_DEVICE = option(
    "--root-device", default="/dev/sda1", metavar="NAME", help="Route unmodified: name of the boot volume."
)
NO_ENA = option("--no-ena", is_flag=True, help="Route unmodified: the guest lacks the ENA driver.")
ENCRYPTED = option("--encrypted", is_flag=True, help="Encrypt the AMI's snapshots.")
KMS_KEY = option("--kms-key-id", metavar="KEY", help="With --encrypted: the key, instead of the account's default.")
AMI_NAME = option(
    "--ami-name", metavar="NAME", default="", help="Name of the AMI; may have {vm}, {date}, {time}, {region}."
)
DESCRIPTION = option("--description", default="", help="Description of the task and the AMI; likewise.")
TAG = option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tag of the AMI and its snapshots; repeatable.")
FORCE_NAME = option(
    "--force-name",
    "forced",
    multiple=True,
    metavar="NAME",
    help="Start this source despite its blockers; repeatable.",
)

OPTIONS = (
    option("--route", type=_values(Route), help="Way into AWS; what fits the source and the guest when left out."),
    option("--via", type=_values(Via), help="Routes unmodified and snapshot: by an object in S3, or by EBS direct."),
    option("--format", "upload_format", type=_values(UploadFormat), help="Of what is uploaded; VMDK when left out."),
    option("--raw-source", is_flag=True, help="Take files as RAW, whatever their first bytes look like."),
    option("--each", is_flag=True, help="Each file, object or snapshot is a machine, not a disk of one."),
    option("--license-type", type=_values(LicenseType), help="AWS or BYOL."),
    option("--usage-operation", metavar="CODE", help="Instead of a licence type, such as RunInstances:0002."),
    REGION,
    option("--bucket", help="Bucket in that Region; the profile's when left out."),
    option("--prefix", help="Where in the bucket; the profile's when left out."),
    ROLE,
    BOOT_MODE,
    option("--platform", type=click.Choice(["Linux", "Windows"]), help="Routes image-direct and instance: the system."),
    ARCHITECTURE,
    ROOT_DEVICE,
    NO_ENA,
    ENCRYPTED,
    KMS_KEY,
    AMI_NAME,
    DESCRIPTION,
    TAG,
    option("--no-quiesce", is_flag=True, help="Do not ask VMware Tools to quiesce a running guest."),
    option("--volume-zone", metavar="ZONE", help="Route snapshot: make volumes in this Availability Zone."),
    option("--volume-type", type=click.Choice(VOLUME_TYPES), help="With --volume-zone or --attach; gp3 when left out."),
    option("--attach", metavar="INSTANCE", help="Route snapshot: make volumes and attach them to this instance."),
    option("--instance-type", metavar="TYPE", help="Of the instance (route instance) or the test instance."),
    option("--zone", metavar="ZONE", help="Route instance: its Availability Zone."),
    option("--subnet", metavar="ID", help="Of the instance (route instance) or the test instance."),
    option("--volume-only", is_flag=True, help="Route instance: a volume instead of an instance (ImportVolume)."),
    option("--copy-to", multiple=True, metavar="REGION", help="Copy the AMI to this Region; repeatable."),
    option("--test-launch", is_flag=True, help="Launch an instance of the AMI, to see that it boots."),
    option("--key", metavar="NAME", help="With --test-launch: key pair to log in with."),
    option("--reachable", is_flag=True, help="With --test-launch: in the default security group, not isolated."),
    option("--clean-up", is_flag=True, help="Delete what was uploaded to S3 when the import is done."),
    FORCE_NAME,
)


def with_options(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """All of ``options``, in their order in the help text."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


import_options = with_options(OPTIONS)
