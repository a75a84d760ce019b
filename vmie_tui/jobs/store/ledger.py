"""Ledgers: what a later attempt of a job must know of the earlier ones. One class for each kind of job, one for a disk.

A ledger is JSON in the job's row or the disk's. A field at its default is not in it; keys that this version does not
know, a newer one's, stay as they are. `Store.remember` writes fields, and mypy checks their names and types.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self, get_type_hints

from vmie_tui.model.machine import Machine
from vmie_tui.model.plain_data import decode, encode
from vmie_tui.model.replication import Sync

_NO_MACHINE = Machine("", "")


def _stored_as(key: str, default: Any) -> Any:
    """A field that the database knows by another name."""
    return field(default=default, metadata={"key": key})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Values in one JSON object, by their declared types."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises one of `rows.UNREADABLE` for a value of another type; keys that are not known are left out."""
        if not isinstance(data, Mapping):
            raise TypeError(f"{type(data).__name__} instead of a {cls.__name__}")
        known = {name: each for name, each in _fields(cls).items() if each.key in data}
        return cls(**{name: decode(each.type, data[each.key], _nested) for name, each in known.items()})

    def to_json(self) -> dict[str, Any]:
        """Without the fields that are at their defaults."""
        return {key: value for key, value in self.changes(_fields(type(self))).items() if value is not None}

    def changes(self, names: Iterable[str]) -> dict[str, Any]:
        """The fields of these names by their keys; None for one at its default, whose key must not be there."""
        known = _fields(type(self))
        values = ((known[name], getattr(self, name)) for name in names)
        return {each.key: None if value == each.default else _plain(value) for each, value in values}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLedger(Stored):
    """What jobs of all kinds have."""

    client_token: str = ""  # random, the same in all attempts: with it AWS does what it is asked twice only once
    task_asked: bool = _stored_as("asked", False)  # AWS may have a task of this job's though its id is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLedger(JobLedger):
    """An import's."""

    # the source
    machine: Machine = _NO_MACHINE  # as the check found it
    source_state: str = _stored_as("moment", "")  # tells one state of the source's content from the next
    proven_state: str = _stored_as("proven", "")  # the state whose images were compared with their manifest
    snapshot: str = ""  # moid of our vSphere snapshot, until it is removed
    snapshot_asked: bool = _stored_as("taking", False)  # vCenter may have made one that is not known
    lease_open: bool = _stored_as("lease", False)  # an export lease may be open on the machine

    # its disks on their way
    ebs_snapshots_asked: bool = _stored_as("snapshots_asked", False)  # EBS may have one that is not known
    urls_signed: float = _stored_as("signed", 0.0)  # when the manifest of the parts was written, with its URLs
    transferred: bool = False  # all disks are in AWS
    from_job: str = ""  # the failed job whose upload this one uses
    fallback_job: str = _stored_as("fallback", "")  # the job that uses this failed one's upload

    # what becomes of them in AWS
    import_try: int = 1  # one more after each ImportImage that failed, for another client token
    to_tag: tuple[str, ...] = ()  # what ImportInstance or ImportVolume made: the instance first, then the volumes
    register_asked: bool = False  # there may be an AMI that is not known
    volumes_asked: bool = False  # there may be volumes that are not known
    launch_asked: bool = False  # there may be an instance that is not known
    instance: str = ""  # the test instance, or a cutover's
    copies: Mapping[str, str] = field(default_factory=dict)  # AMIs by their Regions
    copy_tries: Mapping[str, int] = field(default_factory=dict)  # by Region: one more after each copy that failed

    @property
    def moid(self) -> str:
        """Of the machine in vCenter, when it is the source."""
        return self.machine.moid


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAtSnapshot(Stored):
    """The machine when a run's vSphere snapshot was made."""

    moid: str = ""  # of the snapshot
    at: float = 0.0
    quiesced: bool | None = None  # None: it was off
    host: str = ""  # the ESXi host


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLedger(ImportLedger):
    """A replication run's: an import's, and what it must know of the machine that runs on."""

    at_snapshot: MachineAtSnapshot = field(default=MachineAtSnapshot(), metadata={"key": "frozen"})
    lease_reason: str = _stored_as("locked", "")  # why an export lease reads the disks, and not their files
    shut_down: bool = False  # the guest was asked to shut down for the cutover
    ran_again: bool = False  # the machine was seen running after that
    began: float | None = None  # start of the attempt, seconds since the epoch by the wall clock
    copy_seconds: float = _stored_as("copied", 0.0)  # of all attempts
    kept_after: float | None = None  # seconds from `began` until the copy was complete
    blocks_verified: int = _stored_as("verified", 0)  # read back from EBS, and equal
    kept: bool = False  # the next run goes on from this one's copy
    leftovers: tuple[str, ...] | None = _stored_as("leftover", None)  # EBS snapshots to delete, once taken over

    @property
    def elapsed(self) -> float:
        """Seconds since this attempt began; 0 where nobody noted when."""
        return 0.0 if self.began is None else time.time() - self.began


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLedger(JobLedger):
    """An export's."""

    # what is exported
    uefi: bool = False
    windows: bool = False
    export_try: int = 1  # one more after each export task that failed
    objects: tuple[tuple[str, int], ...] = ()  # key and bytes of each that AWS has written

    # the download
    fetching: tuple[str, ...] = ()  # files that were not there when their download began: ours once they appear
    files: tuple[str, ...] = ()  # files that are complete
    conversions: tuple[str, ...] = ()  # files that were not there when their conversion began

    # the deployment
    machine_asked: bool = _stored_as("deploying", False)  # vCenter may have a virtual machine that is not known
    machine_moid: str = _stored_as("machine", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskAtSnapshot(Stored):
    """A disk as a run's vSphere snapshot has it."""

    uuid: str = ""
    capacity: int = 0
    change_id: str = ""  # "": its changes are not tracked
    file: str = ""
    datastore: str = _stored_as("store", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLedger(Stored):
    """One disk's, of a job of any kind."""

    # as an object in S3
    object_size: int | None = None  # of the OVA that holds the disk
    manifest_key: str = _stored_as("manifest", "")  # of the manifest of its parts
    image_bytes: int = _stored_as("bytes", 0)  # of the image in the parts
    volume_gib: int = 0  # of the volume that is made of it

    # as an EBS snapshot that we write
    pending_snapshot: str = _stored_as("pending", "")  # takes blocks
    completing: bool = False  # EBS was asked to complete it
    uploaded_snapshot: str = _stored_as("uploaded", "")  # is complete
    snapshot_try: int = _stored_as("try", 1)  # one more each time that it is begun anew, for another client token

    # as the EBS snapshot of an ImportSnapshot task, and its volume
    import_task: str = _stored_as("task", "")  # that is being waited for
    import_try: int = 1  # one more after each task that failed
    volume: str = ""
    volume_try: int = 1  # one more after each volume that failed

    # in a replication's run
    at_snapshot: DiskAtSnapshot = field(default=DiskAtSnapshot(), metadata={"key": "frozen"})
    begun_at: str = _stored_as("begun", "")  # moid of the vSphere snapshot that `pending_snapshot` was begun with
    parent_snapshot: str = _stored_as("parent", "")  # the EBS snapshot that ours continues
    parent_refused: str = _stored_as("refused", "")  # why EBS did not take it as a parent
    sync: Sync = Sync.FIRST
    reason: str = ""  # of `sync`
    changed: int | None = None  # bytes that vCenter named


class _Field(NamedTuple):
    key: str
    type: Any
    default: Any


def _read_fields(kind: type) -> dict[str, _Field]:
    types, empty = get_type_hints(kind), kind()
    return {
        each.name: _Field(each.metadata.get("key", each.name), types[each.name], getattr(empty, each.name))
        for each in fields(kind)
    }


_fields: Callable[[type], dict[str, _Field]] = functools.cache(_read_fields)


def _plain(value: Any) -> Any:
    return value.to_json() if isinstance(value, Stored | Machine) else encode(value)


def _nested(kind: type, data: Any) -> Any:
    return kind.from_json(data) if issubclass(kind, Stored | Machine) else None
