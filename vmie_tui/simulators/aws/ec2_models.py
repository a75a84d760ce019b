"""Our snapshots and images inside moto's EC2 model, where every other EC2 call finds them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Snapshot, Volume

from vmie_tui.simulators.aws.snapshots import SnapshotInfo, SnapshotStore, new_id
from vmie_tui.simulators.aws.volume_data import content_of, hold

# moto makes some hundred images and snapshots when a Region is first used, unless told otherwise
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

NO_VOLUME = "vol-ffffffff"  # what AWS shows for a snapshot that was made from no volume


class StoredSnapshot(Snapshot):  # type: ignore[misc]
    """A snapshot whose state and content are in our store."""

    def __init__(self, backend: Any, info: SnapshotInfo, store: SnapshotStore) -> None:
        self._store, self._ident = store, info.id
        volume = Volume(backend, NO_VOLUME, info.size_gib, None, encrypted=info.encrypted)
        super().__init__(
            backend, info.id, volume, info.description, encrypted=info.encrypted, kms_key_id=info.kms_key or None
        )
        self.start_time = datetime.fromtimestamp(info.started, UTC).replace(tzinfo=None)

    @property
    def status(self) -> str:
        info = self._store.get(self._ident)
        return info.state if info else "error"

    @status.setter
    def status(self, value: str) -> None:
        """The base class sets one at birth; ours is the store's."""

    @property
    def progress(self) -> str:
        return "100%" if self.status == "completed" else "0%"


@dataclass(frozen=True, slots=True)
class Mapping:
    """One volume of an image: its device name and the snapshot behind it (None: an empty volume)."""

    device: str
    snapshot: str | None
    size_gib: int
    encrypted: bool = False
    delete_on_termination: bool = False
    volume_type: str = "gp2"


class StoredImage(Ami):  # type: ignore[misc]
    """An image made of given snapshots; moto's own would make a 15 GiB snapshot of its own."""

    def __init__(
        self, backend: Any, *, name: str, mappings: Sequence[Mapping], platform_details: str, usage: str, **more: Any
    ) -> None:
        # the base class's initialiser is left out on purpose: it creates a volume and a snapshot
        self.ec2_backend = backend
        self.id = new_id("ami")
        self.name = name
        self.mappings = tuple(mappings)
        self.platform_details, self.usage_operation = platform_details, usage
        self.platform = "windows" if platform_details.startswith("Windows") else None
        self.description: str = more.get("description", "")
        self.architecture: str = more.get("architecture") or "x86_64"
        self.boot_mode: str = more.get("boot_mode") or ""
        self.root_device_name: str = more.get("root_device_name") or self.mappings[0].device
        self.ena_support: bool = more.get("ena_support", True)
        self.sriov = "simple"
        self.image_type, self.virtualization_type = "machine", "hvm"
        self.tpm_support: str | None = more.get("tpm_support")
        self.converted: bool = more.get("converted", False)  # VM import has changed the guest
        self.failure: str = more.get("failure", "")  # why a copy has failed
        self.client_token: str = more.get("client_token", "")
        self.hypervisor, self.root_device_type = "xen", "ebs"
        self.owner_id, self.owner_alias, self.kernel_id = backend.account_id, None, None
        self.image_location = f"{backend.account_id}/{name}"
        self.creation_date = datetime.now(UTC).replace(tzinfo=None)
        self.product_codes: set[str] = set()
        self.instance_id = None
        self.launch_permissions: list[dict[str, str]] = []
        # instance store volumes of the mapping: device -> virtual name (ephemeral0)
        self.virtual_devices: dict[str, str] = dict(more.get("virtual_devices") or {})

    @property
    def state(self) -> str:
        """A copy is pending until its snapshots are completed."""
        if self.failure:
            return "failed"
        snapshots = self.ec2_backend.snapshots
        behind = [snapshots[m.snapshot].status for m in self.mappings if m.snapshot in snapshots]
        return "pending" if "pending" in behind else "failed" if "error" in behind else "available"

    @state.setter
    def state(self, value: str) -> None:
        """The base class sets one; ours follows the snapshots."""

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "block-device-mapping.snapshot-id":
            return [mapping.snapshot for mapping in self.mappings if mapping.snapshot]
        return super().get_filter_value(filter_name, method_name)

    @property
    def state_reason(self) -> dict[str, str] | None:
        return {"Code": "Client.Failed", "Message": self.failure} if self.failure else None

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return [
            {
                "DeviceName": mapping.device,
                "Ebs": {
                    "SnapshotId": mapping.snapshot,
                    "VolumeSize": mapping.size_gib,
                    "DeleteOnTermination": mapping.delete_on_termination,
                    "VolumeType": mapping.volume_type,
                    "Encrypted": mapping.encrypted,
                },
            }
            for mapping in self.mappings
        ] + [{"DeviceName": device, "VirtualName": name} for device, name in self.virtual_devices.items()]


def bill_as(instance: Any, image: Any) -> None:
    """Let an instance show its image's platform, usage operation and product codes, which moto leaves out."""
    instance.platform_details = getattr(image, "platform_details", "Linux/UNIX")
    instance.usage_operation = getattr(image, "usage_operation", "RunInstances")
    instance.product_codes = list(getattr(image, "product_codes", ()))


class Ec2Models:
    """The EC2 side of the snapshot store, for one account."""

    def __init__(self, account: str, store: SnapshotStore) -> None:
        self.account, self.store = account, store
        self.lock = threading.RLock()  # for moto's models: they are changed by calls and by import tasks

    def backend(self, region: str) -> Any:
        return ec2_backends[self.account][region]

    def show_snapshot(self, info: SnapshotInfo) -> None:
        """Let EC2's calls see a snapshot of the store."""
        with self.lock:
            backend = self.backend(info.region)
            snapshot = StoredSnapshot(backend, info, self.store)
            backend.snapshots[info.id] = snapshot
            snapshot.add_tags(info.tags)

    def part_volumes(self, info: SnapshotInfo) -> None:
        """Let the volumes made from a snapshot keep their bytes without it."""
        with self.lock:
            for volume in self.backend(info.region).volumes.values():
                found = content_of(volume, self.store)
                if found is not None and found.id == info.id:
                    size = int(volume.size)
                    kept = self.store.create(
                        region=info.region, size_gib=size, parent=info.id, state="completed", origin="volume"
                    )
                    hold(volume, kept.id)

    def hide_snapshot(self, info: SnapshotInfo) -> None:
        """Delete a snapshot from EC2 and from the store."""
        with self.lock:
            self.backend(info.region).snapshots.pop(info.id, None)
            self.store.delete(info.id)

    def register(self, region: str, *, name: str, mappings: Sequence[Mapping], **more: Any) -> str:
        """A new image; returns its id. ``more`` as in `StoredImage`."""
        with self.lock:
            backend = self.backend(region)
            image = StoredImage(backend, name=name, mappings=mappings, **more)
            backend.amis[image.id] = image
        return image.id

    def image_of(self, region: str, snapshot: str) -> str | None:
        """The image that uses a snapshot."""
        for image in list(self.backend(region).amis.values()):
            if isinstance(image, StoredImage) and any(m.snapshot == snapshot for m in image.mappings):
                return image.id
        return None

    def encrypted_by_default(self, region: str) -> bool:
        return bool(self.backend(region).ebs_encryption_by_default)

    def default_key(self, region: str) -> str:
        """The ARN of the key EBS uses when none is named."""
        with self.lock:
            backend = self.backend(region)
            if not backend.default_kms_key_id:
                backend._create_default_encryption_key()
            return str(backend.default_kms_key_id)

    def key_arn(self, region: str, key: str) -> str | None:
        """The ARN of a KMS key given by id, alias or ARN; None when it does not exist or is not enabled."""
        from moto.kms.models import kms_backends

        if key.rpartition(":")[2] == "alias/aws/ebs":
            return self.default_key(region)
        with self.lock:
            try:
                found = kms_backends[self.account][region].describe_key(key)
            except (ServiceException, KeyError):  # moto looks the id up without asking whether it is there
                return None
            return str(found.arn) if found.key_state == "Enabled" else None
