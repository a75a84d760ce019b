"""What is known of an instance or image that is to be exported. None stands for what was not, or may not be, seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmie_tui.model.export import INSTANCE_ID


@dataclass(frozen=True, slots=True)
class ExportDisk:
    """One disk of the instance, or one entry of the image's block device mapping."""

    device: str
    size_gib: int = 0  # 0 when unknown
    volume_id: str = ""
    snapshot_id: str = ""
    encrypted: bool = False
    instance_store: bool = False
    late: bool = False  # attached after the instance was launched
    snapshot_exists: bool | None = None  # the AMI's own snapshot of this disk


@dataclass(frozen=True, slots=True)
class ExportBucket:
    """The bucket that an export goes to, as far as the profile may look."""

    name: str
    region: str | None = None
    owned: bool | None = None  # by the account that exports
    ownership: str | None = None  # the Object Ownership setting
    encryption: str | None = None  # the default algorithm (``AES256``, ``aws:kms``); "" for none
    granted: bool | None = None  # the service has what it needs, by ACL or policy


@dataclass(frozen=True, slots=True)
class Exportable:
    """An instance or image that may be exported; `model.rules.exports` judges it."""

    id: str
    region: str
    name: str = ""
    account: str = ""  # the one that asks
    owner: str = ""  # the account it belongs to
    state: str = ""
    windows: bool = False
    platform_details: str = ""
    usage_operation: str = ""
    product_codes: tuple[str, ...] = ()
    architecture: str = ""
    boot_mode: str = ""
    instance_type: str = ""
    cpus: int = 0
    memory_mib: int = 0
    disks: tuple[ExportDisk, ...] = ()
    interfaces: int | None = None
    image_id: str = ""  # of the AMI that an instance was launched from
    image_exists: bool | None = None
    image_imported: bool | None = None  # whether VM Import made that AMI
    image_owner: str = ""
    launched: datetime | None = None
    running: tuple[str, ...] = ()  # ids of exports of the same source
    active_tasks: int | None = None  # conversions and exports that run in the Region
    bucket: ExportBucket | None = None
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def is_instance(self) -> bool:
        return self.id.startswith(INSTANCE_ID)

    @property
    def ebs_disks(self) -> tuple[ExportDisk, ...]:
        return tuple(disk for disk in self.disks if not disk.instance_store)

    @property
    def size_gib(self) -> int:
        """Of all EBS disks together."""
        return sum(disk.size_gib for disk in self.ebs_disks)

    def to_json(self) -> dict[str, Any]:
        """What a list shows; plain values only."""
        return {
            "id": self.id,
            "name": self.name,
            "region": self.region,
            "state": self.state,
            "platform": self.platform_details,
            "size_gib": self.size_gib,
            "disks": len(self.disks),
            "image_id": self.image_id,
        }
