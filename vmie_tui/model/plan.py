"""What the user decided: everything a job needs to know before it starts. JSON in and out, never a secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Route(StrEnum):
    """Ways into AWS (design section 3)."""

    IMAGE = "image"
    IMAGE_DIRECT = "image-direct"
    UNMODIFIED = "unmodified"
    SNAPSHOT = "snapshot"
    INSTANCE = "instance"


class UploadFormat(StrEnum):
    """Format of the object in S3; the values are ImportImage's."""

    VMDK = "VMDK"
    OVA = "OVA"
    VHD = "VHD"
    RAW = "RAW"


class LicenseType(StrEnum):
    AWS = "AWS"
    BYOL = "BYOL"


class BootMode(StrEnum):
    """Boot modes ImportImage takes (BM rules); absent means AWS decides."""

    LEGACY_BIOS = "legacy-bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class VmSource:
    """A virtual machine in vCenter, named so that it can be found again after a restart."""

    vcenter: str
    moid: str
    name: str
    instance_uuid: str = ""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """One virtual machine's way into EC2. ``profile`` names the settings profile to connect with."""

    profile: str
    source: VmSource
    region: str
    bucket: str
    route: Route = Route.IMAGE
    upload_format: UploadFormat = UploadFormat.VMDK
    license_type: LicenseType | None = None
    usage_operation: str | None = None
    prefix: str = ""
    role_name: str = "vmimport"
    ami_name: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    boot_mode: BootMode | None = None
    platform: str | None = None
    encrypted: bool = False
    kms_key_id: str | None = None
    quiesce: bool = True
    override: tuple[str, ...] = ()  # headlines of the blockers that the user has seen and wants ignored

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ImportPlan:
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError for what is no plan."""
        license_type, boot_mode = data.get("license_type"), data.get("boot_mode")
        parsed = {
            "source": VmSource(**data["source"]),
            "route": Route(data["route"]),
            "upload_format": UploadFormat(data["upload_format"]),
            "license_type": LicenseType(license_type) if license_type else None,
            "boot_mode": BootMode(boot_mode) if boot_mode else None,
            "override": tuple(data.get("override", ())),
        }
        return cls(**{**data, **parsed})
