"""What the user decided about a way out of EC2: everything an export job needs to know. JSON in and out, no secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from vmie_tui.model.job import Stage

INSTANCE_ID, IMAGE_ID = "i-", "ami-"
CONVERT_TO = ("raw", "vmdk", "vhd", "vhd-fixed", "vhd-dynamic", "vhdx", "ova")  # vhd is the dynamic kind


class ExportFormat(StrEnum):
    """Disk formats EC2 writes; the values are the API's. RAW is for images only."""

    VMDK = "VMDK"
    VHD = "VHD"
    RAW = "RAW"


class Container(StrEnum):
    """What the disk of an instance is packed in; the values are the API's."""

    NONE = ""
    OVA = "ova"


class TargetEnvironment(StrEnum):
    """Where an exported instance is to run; the values are the API's. Images have none."""

    NONE = ""
    VMWARE = "vmware"
    CITRIX = "citrix"
    MICROSOFT = "microsoft"


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """Where in the profile's vCenter the exported VM is to be put; places are managed object ids.

    The hardware fields are for disks without an OVF to describe it; 0 and "" leave them to the deployer.
    """

    name: str
    resource_pool: str
    datastore: str
    folder: str = ""
    network: str = ""
    host: str = ""
    cpus: int = 0
    memory_mib: int = 0
    guest_id: str = ""
    uefi: bool = False
    power_on: bool = False  # else the VM is never switched on


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """The export of one instance or image."""

    profile: str  # the settings profile to connect with
    source_id: str  # ``i-…`` or ``ami-…``
    name: str
    region: str
    bucket: str
    prefix: str = ""
    format: ExportFormat = ExportFormat.VMDK
    container: Container = Container.NONE  # for instances
    target_environment: TargetEnvironment = TargetEnvironment.NONE  # for instances
    role_name: str = "vmimport"  # for images
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    download_to: str = ""  # a folder on this machine; "": the object stays in S3
    convert_to: str = ""  # a format of ``vmie-tui convert`` (`CONVERT_TO`), or ""
    deploy: DeployTarget | None = None  # put it into vCenter afterwards
    clean_up: bool = False  # delete the object in S3 once it is downloaded and proven
    override: tuple[str, ...] = ()  # headlines of the blockers that the user has seen and wants ignored

    @property
    def is_instance(self) -> bool:
        """CreateInstanceExportTask rather than ExportImage."""
        return self.source_id.startswith(INSTANCE_ID)

    @property
    def where(self) -> str:
        """Where the source lies, in the words a user would give."""
        return f"{self.region}/{self.source_id}"

    @property
    def key_prefix(self) -> str:
        """The prefix as it is sent: AWS adds nothing between it and the task's id, a folder needs its slash (D27)."""
        return f"{self.prefix.strip('/')}/" if self.prefix.strip("/") else ""

    @property
    def extension(self) -> str:
        """Of the object: the container's when there is one, else the format's (F312, F334)."""
        return (self.container or self.format).lower()

    def object_key(self, task_id: str) -> str:
        """The documented key of what the task writes."""
        return f"{self.key_prefix}{task_id}.{self.extension}"

    @property
    def downloads(self) -> bool:
        """Whether the object becomes a file on this machine; a deployment reads it from S3."""
        return bool(self.download_to)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ExportPlan:
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError for what is no plan."""
        deploy = data.get("deploy")
        parsed = {
            "format": ExportFormat(data["format"]),
            "container": Container(data.get("container", "")),
            "target_environment": TargetEnvironment(data.get("target_environment", "")),
            "deploy": DeployTarget(**deploy) if deploy else None,
            "override": tuple(data.get("override", ())),
        }
        return cls(**{**data, **parsed})


def export_stages(plan: ExportPlan) -> tuple[Stage, ...]:
    """The stages an export by this plan goes through; a conversion is part of the download."""
    wanted = {
        Stage.CHECK: True,
        Stage.EXPORT: True,
        Stage.DOWNLOAD: plan.downloads,
        Stage.DEPLOY: plan.deploy is not None,
        Stage.FINISH: True,
    }
    return tuple(stage for stage in Stage if wanted.get(stage))
