"""Regions and sign-in: in a Region that is not enabled, AWS reports valid keys as invalid."""

from __future__ import annotations

from vmie_tui.model.errors import ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.session import Aws, Identity

REGION_OFF = frozenset({"RegionDisabledException", "OptInRequired", "InvalidClientTokenId"})
EVERYWHERE = "us-east-1"  # enabled in every account
NOT_OPTED_IN = "not-opted-in"
# How the names of Regions begin outside the commercial partition, "aws".
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}
_OTHER_PARTITIONS = tuple(_PARTITIONS)


def partition_of(region: str) -> str:
    """The second part of the ARNs of a Region's resources: ``aws``, ``aws-cn``, ``aws-us-gov``, ..."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")


def sign_in(aws: Aws, region: str) -> Identity:
    """The caller's identity as the Region sees it, or another one if it rejects us. Raises ServiceError."""
    try:
        return aws.identity(region)
    except ServiceError as error:
        # Wrong keys, and a Region that has not been enabled, sound the same: another Region tells them apart.
        if error.problem.code not in REGION_OFF or region.startswith(_OTHER_PARTITIONS):
            raise
        return aws.identity(EVERYWHERE)


def anywhere(region: str) -> str:
    """An enabled Region of the same partition, for calls that belong to no Region."""
    return region if region.startswith(_OTHER_PARTITIONS) else EVERYWHERE


def opt_in_status(aws: Aws, region: str) -> str | None:
    """``opted-in``, `NOT_OPTED_IN`, ``opt-in-not-required`` or ""; None for a Region AWS does not know."""
    with aws_call("look at the Region", region):
        ec2 = aws.client("ec2", anywhere(region))
        found = ec2.describe_regions(RegionNames=[region], AllRegions=True)["Regions"]
    return str(found[0].get("OptInStatus", "")) if found else None
