"""The bytes of EBS volumes: those of the snapshot a volume was made from, or what an import has written for it.

An imported volume's content is an entry of the snapshot store that EC2 never shows (origin ``volume``); snapshots of
the volume are its children, so nothing is copied.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult

from vmie_tui.simulators.aws.moto_extensions import Operation
from vmie_tui.simulators.aws.snapshots import SnapshotInfo, SnapshotStore


def hold(volume: Any, ident: str) -> None:
    """Let a moto volume have the content of a store entry."""
    volume.stored_content = ident


def content_of(volume: Any, store: SnapshotStore) -> SnapshotInfo | None:
    """The store entry that holds a moto volume's bytes; None for an empty volume."""
    return store.get(getattr(volume, "stored_content", "") or volume.snapshot_id or "")


def create_snapshot(response: Any, simulator: Any) -> ActionResult:
    """A snapshot of what the volume holds, ready at once."""
    response.error_on_dryrun()
    backend = response.ec2_backend
    volume = backend.get_volume(str(response._get_param("VolumeId")))
    parent = content_of(volume, simulator.snapshots)
    tags = response._parse_tag_specification().get("snapshot", {})
    info = simulator.snapshots.create(
        region=response.region,
        size_gib=int(volume.size),
        description=str(response._get_param("Description") or ""),
        parent=parent.id if parent else "",
        encrypted=bool(volume.encrypted),
        kms_key=str(volume.kms_key_id or "") if volume.encrypted else "",
        tags=tags,
        state="completed",
    )
    simulator.ec2.show_snapshot(info)
    snapshot = backend.snapshots[info.id]
    snapshot.volume = volume
    return ActionResult(snapshot)


OPERATIONS: tuple[Operation, ...] = (create_snapshot,)
