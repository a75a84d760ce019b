"""The options of ``vmie-tui import``, and the plan they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from vmie_tui.model import naming
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import (
    BootMode,
    ImportPlan,
    LegacyInstance,
    LicenseType,
    Route,
    Source,
    TestLaunch,
    UploadFormat,
    Via,
    VmSource,
    Volumes,
)
from vmie_tui.model.rules.defaults import (
    default_architecture,
    default_format,
    default_route,
    default_via,
    with_defaults,
)
from vmie_tui.model.rules.route_needs import ARCHITECTURES, VOLUME_TYPES
from vmie_tui.settings import Profile

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


def make_plan(
    profile: Profile,
    machine: Machine,
    source: Source | None = None,
    *,
    route: str | None = Route.IMAGE.value,
    via: str | None = None,
    upload_format: str | None = None,
    license_type: str | None = None,
    region: str | None = None,
    bucket: str | None = None,
    prefix: str | None = None,
    role_name: str | None = None,
    boot_mode: str | None = None,
    architecture: str | None = None,
    no_quiesce: bool = False,
    no_ena: bool = False,
    copy_to: tuple[str, ...] = (),
    ami_name: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
    **rest: Any,
) -> ImportPlan:
    """The plan for one machine: what was chosen, else the profile's, else what fits the source and its guest.

    ``route`` None: the recommended one. Without ``source`` it is the machine in the profile's vCenter. Raises
    click.UsageError for options that only mean something beside others.
    """
    aws, vcenter = profile.aws, profile.vcenter
    source = source or VmSource(vcenter.host if vcenter else "", machine.moid, machine.name, machine.instance_uuid)
    region, bucket = region or aws.region, aws.bucket if bucket is None else bucket
    grouped = _grouped(rest)
    way = Route(route) if route else _implied(rest, grouped)
    way = way or default_route(source, machine, region, bucket=bool(bucket))
    by = Via(via) if via else default_via(way, source, machine, bucket=bool(bucket))
    _check_belongs(way, rest, grouped)
    places = naming.places(source.name, datetime.now(UTC), profile=profile.name, region=region)
    plan = ImportPlan(
        profile=profile.name,
        source=source,
        region=region,
        bucket=bucket,
        route=way,
        upload_format=UploadFormat(upload_format) if upload_format else default_format(way, source, machine, by),
        via=by,
        license_type=LicenseType(license_type) if license_type else None,
        prefix=aws.prefix if prefix is None else prefix,
        role_name=role_name or aws.role_name,
        boot_mode=BootMode(boot_mode) if boot_mode else None,
        quiesce=not no_quiesce,
        architecture=architecture or default_architecture(machine),
        ena=not no_ena,
        copy_to=tuple(copy_to),
        ami_name=naming.ami_name(ami_name or aws.ami_name, places),
        description=naming.fill(description or aws.description, places),
        tags={**dict(aws.tags), **(tags or {})},
        **{name: value for name, value in rest.items() if name not in _GROUPS},
    )
    plan = replace(plan, volumes=grouped.volumes, test_launch=grouped.launch)
    return with_defaults(_with_legacy(plan, rest), machine)


_GROUPS = {
    *("volume_zone", "volume_type", "attach", "volumes"),
    *("instance_type", "zone", "subnet", "volume_only"),
    *("test_launch", "key", "reachable"),
}


@dataclass(frozen=True, slots=True)
class _Grouped:
    """What several options make together; None where it was not asked for."""

    volumes: Volumes | None
    launch: TestLaunch | None


def _grouped(given: Mapping[str, Any]) -> _Grouped:
    """Of options, or of the values themselves."""
    volumes, launch = given.get("volumes"), given.get("test_launch")
    zone, instance = given.get("volume_zone") or "", given.get("attach") or ""
    if zone or instance:
        volumes = Volumes(zone, given.get("volume_type") or "gp3", instance)
    if launch is True:
        kind, subnet, key = (given.get(name) or "" for name in ("instance_type", "subnet", "key"))
        launch = TestLaunch(kind, subnet, key, not given.get("reachable"))
    return _Grouped(volumes, launch or None)


def _implied(given: Mapping[str, Any], grouped: _Grouped) -> Route | None:
    """The only route that some option has a meaning on."""
    if grouped.volumes:
        return Route.SNAPSHOT
    return Route.INSTANCE if given.get("volume_only") or given.get("zone") else None


def _with_legacy(plan: ImportPlan, given: Mapping[str, Any]) -> ImportPlan:
    if plan.route is not Route.INSTANCE or plan.legacy is not None:
        return plan
    kind, zone, subnet = (given.get(name) or "" for name in ("instance_type", "zone", "subnet"))
    return replace(plan, legacy=LegacyInstance(kind, zone, subnet, bool(given.get("volume_only"))))


def _check_belongs(route: Route, given: Mapping[str, Any], grouped: _Grouped) -> None:
    """Refuse options that would be lost without a word."""
    launch, instance = grouped.launch is not None, route is Route.INSTANCE
    needs = {
        "volume_type": (bool(grouped.volumes), "--volume-zone or --attach"),
        "key": (launch, "--test-launch"),
        "reachable": (launch, "--test-launch"),
        "instance_type": (launch or instance, "--route instance or --test-launch"),
        "subnet": (launch or instance, "--route instance or --test-launch"),
        "zone": (instance, "--route instance"),
        "volume_only": (instance, "--route instance"),
    }
    for name, (met, wanted) in needs.items():
        if given.get(name) and not met:
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to {wanted}")
