"""What is shown of the profile in use, and who AWS takes its credentials for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vmie_tui.settings import Profile, Settings


@dataclass(frozen=True, slots=True)
class ProfileInfo:
    """What the screens show of a profile, and what their forms are filled in with."""

    name: str
    vcenter: str = ""  # its host; "" when none is configured
    vcenter_user: str = ""
    aws_profile: str = ""
    region: str = ""
    bucket: str = ""
    prefix: str = ""
    role_name: str = ""
    ami_name: str = ""
    description: str = ""
    tags: str = ""
    read_only: bool = False
    demo: bool = False
    config_file: str = ""


@dataclass(frozen=True, slots=True)
class AwsStatus:
    """The account and the user that AWS takes the credentials for."""

    account: str
    user: str  # the last part of the ARN


class FirstStart(StrEnum):
    """How the questions of the first start ended."""

    SAVED = "saved"
    DEMO = "demo"
    LEFT = ""


def profile_info(settings: Settings, profile: Profile) -> ProfileInfo:
    vcenter, aws = profile.vcenter, profile.aws
    return ProfileInfo(
        name=profile.name,
        vcenter=vcenter.host if vcenter else "",
        vcenter_user=vcenter.user if vcenter else "",
        aws_profile=aws.profile or "",
        region=aws.region,
        bucket=aws.bucket,
        prefix=aws.prefix,
        role_name=aws.role_name,
        ami_name=aws.ami_name,
        description=aws.description,
        tags=", ".join(f"{key}={value}" for key, value in aws.tags),
        read_only=profile.read_only,
        demo=profile.demo,
        config_file=str(settings.config_file),
    )
