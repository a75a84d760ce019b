"""Buckets, objects and unfinished uploads on disk.

Layout below the root: ``<bucket>/bucket.json``; ``<bucket>/objects/<digest of key>/object.json`` beside the part files
of the current version; ``<bucket>/versions/<digest of key>/<version>/`` with the older ones;
``<bucket>/uploads/<upload id>/upload.json`` beside ``part-00001`` and ``part-00001.json``. Completing an upload renames
its folder, so no byte is copied. Nothing of an object's content is held in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vmie_tui.simulators.aws.wire import PIECE


@dataclass(frozen=True, slots=True)
class Bucket:
    """``config`` holds documents put by the owner (encryption, policy, ...) by subresource name."""

    name: str
    region: str
    created: float
    config: dict[str, str] = field(default_factory=dict)

    @property
    def versioning(self) -> str:
        """Enabled, Suspended, or "" for a bucket that never had versions."""
        document = self.config.get("versioning", "")
        return next((word for word in ("Enabled", "Suspended") if f">{word}<" in document), "")


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part; ``checksums`` are base64 by kind, ``etag`` has no quotes."""

    number: int
    size: int
    etag: str
    modified: float
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return f"part-{self.number:05d}"


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object. ``headers`` are those given back on GET (Content-Type, x-amz-meta-..., encryption).

    ``version``: its id, "" for S3's "null"; ``marker``: it stands for the object's deletion and has no parts.
    """

    key: str
    size: int
    etag: str
    modified: float
    parts: tuple[Part, ...]
    headers: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    checksum_type: str = "FULL_OBJECT"
    tags: dict[str, str] = field(default_factory=dict)
    multipart: bool = False
    version: str = ""
    marker: bool = False


NULL = "null"  # S3's id of the version made while versioning was off


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload. ``algorithm`` is "" when the client named none."""

    id: str
    key: str
    initiated: float
    algorithm: str
    checksum_type: str
    headers: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class ObjectReader:
    """Random access to a stored object's bytes; keeps one part file open at a time."""

    def __init__(self, folder: Path, parts: tuple[Part, ...]) -> None:
        self._folder, self._parts = folder, parts
        self.size = sum(part.size for part in parts)
        self._open: tuple[int, int] | None = None  # (index, descriptor)

    def __enter__(self) -> ObjectReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            os.close(self._open[1])
            self._open = None

    def _descriptor(self, index: int) -> int:
        if self._open and self._open[0] == index:
            return self._open[1]
        self.__exit__()
        self._open = (index, os.open(self._folder / self._parts[index].file, os.O_RDONLY))
        return self._open[1]

    def pieces(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from ``offset`` on, at most 1 MiB at a time."""
        start = 0
        for index, part in enumerate(self._parts):
            low, high = max(offset, start), min(offset + length, start + part.size)
            while low < high:
                piece = os.pread(self._descriptor(index), min(PIECE, high - low), low - start)
                if not piece:
                    raise OSError(f"{part.file} is shorter than it was when it was stored")
                low += len(piece)
                yield piece
            start += part.size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes, fewer only at the end."""
        return b"".join(self.pieces(offset, length))


class Store:
    """All buckets below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()

    # buckets

    def buckets(self) -> list[Bucket]:
        with self._lock:
            return [self._bucket(path) for path in sorted(self.root.glob("*/bucket.json"))]

    def bucket(self, name: str) -> Bucket | None:
        path = self.root / name / "bucket.json"
        with self._lock:
            return self._bucket(path) if name and path.exists() else None

    @staticmethod
    def _bucket(path: Path) -> Bucket:
        return Bucket(**json.loads(path.read_text()))

    def save_bucket(self, bucket: Bucket) -> None:
        with self._lock:
            for name in ("objects", "uploads", "incoming"):
                (self.root / bucket.name / name).mkdir(parents=True, exist_ok=True)
            _write_json(self.root / bucket.name / "bucket.json", asdict(bucket))

    def set_config(self, name: str, subresource: str, document: str | None) -> None:
        with self._lock:
            bucket = self.bucket(name)
            assert bucket is not None
            config = {key: value for key, value in bucket.config.items() if key != subresource}
            if document is not None:
                config[subresource] = document
            self.save_bucket(replace(bucket, config=config))

    def delete_bucket(self, name: str) -> bool:
        """Deletes a bucket; False if it still holds objects or versions."""
        with self._lock:
            folder = self.root / name
            if any((folder / "objects").iterdir()) or any(self._older(name)):
                return False
            shutil.rmtree(folder)
            return True

    # objects

    def _folder(self, bucket: str, key: str) -> Path:
        return self.root / bucket / "objects" / _digest(key)

    def _version(self, bucket: str, key: str, version: str) -> Path:
        return self.root / bucket / "versions" / _digest(key) / (version or NULL)

    def _older(self, bucket: str) -> Iterator[Path]:
        return (self.root / bucket / "versions").glob("*/*/object.json")

    def _place(self, bucket: str, stored: Stored) -> Path:
        """The folder of a version, current or older."""
        current = _read_object(self._folder(bucket, stored.key))
        here = current is not None and current.version == stored.version
        return self._folder(bucket, stored.key) if here else self._version(bucket, stored.key, stored.version)

    def get(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """The current version, or the one with this id ("null" for the one without); None where there is none."""
        with self._lock:
            current = _read_object(self._folder(bucket, key))
            if not version:
                return None if current is None or current.marker else current
            if current is not None and (current.version or NULL) == version:
                return current
            return _read_object(self._version(bucket, key, version)) if version.isalnum() else None

    def keys(self, bucket: str) -> list[Stored]:
        """All current objects, ordered by key as S3 orders them (UTF-8 bytes)."""
        return [stored for stored, latest in self.versions(bucket, older=False) if latest and not stored.marker]

    def versions(self, bucket: str, *, older: bool = True) -> list[tuple[Stored, bool]]:
        """(version, whether it is the latest), ordered by key, the newest first."""
        with self._lock:
            latest = [_read_object(folder) for folder in (self.root / bucket / "objects").iterdir()]
            rest = [_read_object(path.parent) for path in self._older(bucket)] if older else []
        found = [(item, True) for item in latest if item] + [(item, False) for item in rest if item]
        return sorted(found, key=lambda pair: (pair[0].key.encode(), not pair[1], -pair[0].modified))

    def reader(self, bucket: str, stored: Stored) -> ObjectReader:
        with self._lock:
            return ObjectReader(self._place(bucket, stored), stored.parts)

    def incoming(self, bucket: str) -> Path:
        """A new empty folder to write an object's parts into before `put`."""
        folder = self.root / bucket / "incoming" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def put(self, bucket: str, folder: Path, stored: Stored) -> Stored:
        """Make the parts in ``folder`` the current version of the object; returns it with its id."""
        with self._lock:
            found = self.bucket(bucket)
            status = found.versioning if found else ""
            stored = replace(stored, version=uuid.uuid4().hex if status == "Enabled" else "")
            _write_json(folder / "object.json", asdict(stored))
            trash = self._make_room(bucket, stored, status)
            folder.rename(self._folder(bucket, stored.key))
        shutil.rmtree(trash, ignore_errors=True)
        return stored

    def _make_room(self, bucket: str, stored: Stored, status: str) -> Path:
        """Move the current version away: among the older ones, or to a folder, returned, that may be deleted."""
        target, trash = self._folder(bucket, stored.key), self.root / bucket / "incoming" / uuid.uuid4().hex
        current = _read_object(target)
        if status == "Suspended":  # there is one null version at most
            shutil.rmtree(self._version(bucket, stored.key, ""), ignore_errors=True)
        if current is None:
            return trash
        if status == "Enabled" or (status == "Suspended" and current.version):
            kept = self._version(bucket, stored.key, current.version)
            kept.parent.mkdir(parents=True, exist_ok=True)
            target.rename(kept)
        else:
            target.rename(trash)
        return trash

    def update(self, bucket: str, stored: Stored) -> None:
        """Replaces an existing object's metadata."""
        with self._lock:
            _write_json(self._place(bucket, stored) / "object.json", asdict(stored))

    def delete(self, bucket: str, key: str, now: float, version: str = "") -> Stored | None:
        """Delete an object, or for good one version of it. With versioning the former leaves a delete marker.

        Returns the marker that was made, or the version that is gone; None where nothing says so.
        """
        with self._lock:
            if version:
                return self._delete_version(bucket, key, version)
            found = self.bucket(bucket)
            if not (found and found.versioning):
                shutil.rmtree(self._folder(bucket, key), ignore_errors=True)
                return None
            return self.put(bucket, self.incoming(bucket), Stored(key, 0, "", now, (), marker=True))

    def _delete_version(self, bucket: str, key: str, version: str) -> Stored | None:
        gone = self.get(bucket, key, version)
        if gone is None:
            return None
        place = self._place(bucket, gone)
        shutil.rmtree(place, ignore_errors=True)
        older = [item for item, latest in self.versions(bucket) if item.key == key and not latest]
        if older and place == self._folder(bucket, key):  # the newest of the others is the current one now
            self._version(bucket, key, older[0].version).rename(place)
        return gone

    def link(self, source_bucket: str, source: Stored, bucket: str) -> Path:
        """A folder for `put` that shares the bytes of ``source``."""
        folder = self.incoming(bucket)
        with self._lock:
            place = self._place(source_bucket, source)
            for part in source.parts:
                os.link(place / part.file, folder / part.file)
        return folder

    # uploads

    def upload_folder(self, bucket: str, upload_id: str) -> Path:
        return self.root / bucket / "uploads" / upload_id

    def create_upload(self, bucket: str, upload: Upload) -> None:
        with self._lock:
            folder = self.upload_folder(bucket, upload.id)
            folder.mkdir(parents=True)
            _write_json(folder / "upload.json", asdict(upload))

    def upload(self, bucket: str, upload_id: str) -> Upload | None:
        path = self.upload_folder(bucket, upload_id) / "upload.json"
        with self._lock:
            valid = upload_id.isalnum() and path.exists()
            return Upload(**json.loads(path.read_text())) if valid else None

    def uploads(self, bucket: str) -> list[Upload]:
        with self._lock:
            paths = list((self.root / bucket / "uploads").glob("*/upload.json"))
            found = [Upload(**json.loads(path.read_text())) for path in paths]
        return sorted(found, key=lambda upload: (upload.key.encode(), upload.initiated))

    def put_part(self, bucket: str, upload_id: str, temporary: Path, part: Part) -> bool:
        """Take a received file as a part, in place of any older one; False when the upload is gone by now."""
        folder = self.upload_folder(bucket, upload_id)
        with self._lock:
            if not (folder / "upload.json").exists():
                return False
            temporary.replace(folder / part.file)
            _write_json(folder / f"{part.file}.json", asdict(part))
            return True

    def parts(self, bucket: str, upload_id: str) -> list[Part]:
        folder = self.upload_folder(bucket, upload_id)
        with self._lock:
            return [Part(**json.loads(path.read_text())) for path in sorted(folder.glob("part-?????.json"))]

    def complete(self, bucket: str, upload: Upload, stored: Stored) -> Stored:
        """Completes the upload and returns the object; parts it does not name are dropped."""
        folder, keep = self.upload_folder(bucket, upload.id), {part.file for part in stored.parts}
        with self._lock:
            (folder / "upload.json").unlink()
            for path in folder.glob("part-*"):
                if path.name not in keep:
                    path.unlink()
            return self.put(bucket, folder, stored)

    def abort(self, bucket: str, upload_id: str) -> None:
        with self._lock:
            shutil.rmtree(self.upload_folder(bucket, upload_id), ignore_errors=True)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:40]


def _write_json(path: Path, data: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{threading.get_ident()}")
    temporary.write_text(json.dumps(data))
    temporary.replace(path)


def _read_object(folder: Path) -> Stored | None:
    path = folder / "object.json"
    if not path.exists():
        return None
    data = json.loads(path.read_text())
    return Stored(**{**data, "parts": tuple(Part(**part) for part in data["parts"])})
