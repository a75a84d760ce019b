"""What the user decided: everything a job needs to know before it starts. JSON in and out, never a secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


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


class Via(StrEnum):
    """How the bytes of an unmodified or snapshot import become EBS snapshots."""

    S3 = "s3"  # an object in S3, then ImportSnapshot
    EBS = "ebs"  # blocks through EBS direct: no bucket, no service role


@dataclass(frozen=True, slots=True)
class VmSource:
    """A virtual machine in vCenter, named so that it can be found again after a restart."""

    KIND: ClassVar[str] = "vm"
    vcenter: str
    moid: str
    name: str
    instance_uuid: str = ""

    @property
    def where(self) -> str:
        """Where it lies, in the words a user would give."""
        return f"{self.vcenter}/{self.name}"


@dataclass(frozen=True, slots=True)
class FileSource:
    """Disk images on this machine; an OVA or OVF stands for all of its disks."""

    KIND: ClassVar[str] = "file"
    name: str
    paths: tuple[str, ...]  # absolute, the boot disk first
    raw: bool = False  # take the file as RAW, whatever it looks like

    @property
    def where(self) -> str:
        return ", ".join(self.paths)


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """Disk images in S3; an OVA stands for all of its disks."""

    KIND: ClassVar[str] = "object"
    name: str
    bucket: str
    keys: tuple[str, ...]  # the boot disk first
    format: str = ""  # as ImportImage names it; "": to be found out

    @property
    def where(self) -> str:
        return ", ".join(f"s3://{self.bucket}/{key}" for key in self.keys)


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """EBS snapshots of the plan's Region, the boot disk's first."""

    KIND: ClassVar[str] = "snapshot"
    name: str
    snapshot_ids: tuple[str, ...]

    @property
    def where(self) -> str:
        return ", ".join(self.snapshot_ids)


Source = VmSource | FileSource | ObjectSource | SnapshotSource
_SOURCES: dict[str, type[Source]] = {kind.KIND: kind for kind in (VmSource, FileSource, ObjectSource, SnapshotSource)}


@dataclass(frozen=True, slots=True)
class Volumes:
    """What a snapshot import makes of its snapshots: EBS volumes, attached to an instance when one is named."""

    availability_zone: str
    volume_type: str = "gp3"
    instance_id: str = ""


@dataclass(frozen=True, slots=True)
class LegacyInstance:
    """What ImportInstance wants to know of the instance."""

    instance_type: str = ""
    availability_zone: str = ""
    subnet_id: str = ""
    volume_only: bool = False  # ImportVolume instead


@dataclass(frozen=True, slots=True)
class TestLaunch:
    """A test launch of the finished AMI, to see that it boots."""

    __test__: ClassVar[bool] = False  # no test class, whatever pytest thinks of its name
    instance_type: str = ""  # "": chosen by the VM's size
    subnet_id: str = ""  # "": the default VPC's
    key_name: str = ""
    isolated: bool = True  # in a security group of its own that lets nothing in or out


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The import of one machine into EC2."""

    profile: str  # the settings profile to connect with
    source: Source
    region: str
    bucket: str
    route: Route = Route.IMAGE
    upload_format: UploadFormat = UploadFormat.VMDK
    via: Via = Via.S3
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
    architecture: str = "x86_64"  # for RegisterImage alone, where nobody else finds it out
    ena: bool = True  # likewise
    root_device: str = "/dev/sda1"  # likewise
    volumes: Volumes | None = None
    legacy: LegacyInstance | None = None
    copy_to: tuple[str, ...] = ()  # Regions the AMI is copied to
    test_launch: TestLaunch | None = None
    clean_up: bool = False  # delete the objects in S3 after the import; never those that the user gave

    @property
    def vm(self) -> VmSource:
        """The source, which must be a virtual machine in vCenter."""
        if not isinstance(self.source, VmSource):
            raise TypeError(f"{self.source.name} is no virtual machine in vCenter")
        return self.source

    @property
    def direct(self) -> bool:
        """Whether the bytes go through EBS direct rather than S3."""
        either_way = self.route in {Route.UNMODIFIED, Route.SNAPSHOT}
        return self.route is Route.IMAGE_DIRECT or (either_way and self.via is Via.EBS)

    @property
    def moves_bytes(self) -> bool:
        """Whether disks pass through this machine: not when they are in AWS already, in the shape the route needs."""
        if isinstance(self.source, SnapshotSource):
            return False
        return not isinstance(self.source, ObjectSource) or self.direct or self.route is Route.INSTANCE

    @property
    def aws_reads(self) -> bool:
        """Whether an import task of AWS is waited for, rather than snapshots taken as they are."""
        if self.route in {Route.IMAGE, Route.IMAGE_DIRECT, Route.INSTANCE}:
            return True
        return not self.direct and not isinstance(self.source, SnapshotSource)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["source"]["kind"] = self.source.KIND
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ImportPlan:
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError for what is no plan."""
        license_type, boot_mode = data.get("license_type"), data.get("boot_mode")
        volumes, legacy, launch = data.get("volumes"), data.get("legacy"), data.get("test_launch")
        parsed = {
            "source": _source(data["source"]),
            "route": Route(data["route"]),
            "upload_format": UploadFormat(data["upload_format"]),
            "via": Via(data.get("via", Via.S3)),
            "license_type": LicenseType(license_type) if license_type else None,
            "boot_mode": BootMode(boot_mode) if boot_mode else None,
            "override": tuple(data.get("override", ())),
            "volumes": Volumes(**volumes) if volumes else None,
            "legacy": LegacyInstance(**legacy) if legacy else None,
            "copy_to": tuple(data.get("copy_to", ())),
            "test_launch": TestLaunch(**launch) if launch else None,
        }
        return cls(**{**data, **parsed})


def _source(data: dict[str, Any]) -> Source:
    kind: Any = _SOURCES[data.get("kind", VmSource.KIND)]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "kind"}
    source: Source = kind(**values)
    return source
