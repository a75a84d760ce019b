"""What is known of an instance or image that is to be exported. None stands for what was not, or may not be, seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmie_tui.model.export import INSTANCE_ID


@dataclass(frozen=True, slots=True)
class ExportDisk:
    """One disk of the instance, or one entry of the image's block device mapping. ``size_gib`` is 0 when unknown.

    ``late``: attached after the instance was launched. ``snapshot_exists``: of the AMI's own snapshot of this disk.
    """

    device: str
    size_gib: int = 0
    volume_id: str = ""
    snapshot_id: str = ""
    encrypted: bool = False
    instance_store: bool = False
    late: bool = False
    snapshot_exists: bool | None = None


@dataclass(frozen=True, slots=True)
class ExportBucket:
    """The bucket an export goes to, as far as the profile may look.

    ``owned``: by the account that exports. ``ownership``: the Object Ownership setting. ``encryption``: the default
    algorithm (``AES256``, ``aws:kms``), "" for none. ``granted``: the service has what it needs, by ACL or policy.
    """

    name: str
    region: str | None = None
    owned: bool | None = None
    ownership: str | None = None
    encryption: str | None = None
    granted: bool | None = None


@dataclass(frozen=True, slots=True)
class Exportable:
    """An instance or image, judged by ``model.rules.exports``.

    ``account`` is the one that asks, ``owner`` the one it belongs to. ``image_*`` are about the AMI an instance was
    launched from: ``image_imported`` tells whether VM import made it. ``running`` are ids of exports of the same
    source, ``active_tasks`` counts the conversions and exports of the Region.
    """

    id: str
    region: str
    name: str = ""
    account: str = ""
    owner: str = ""
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
    image_id: str = ""
    image_exists: bool | None = None
    image_imported: bool | None = None
    image_owner: str = ""
    launched: datetime | None = None
    running: tuple[str, ...] = ()
    active_tasks: int | None = None
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
