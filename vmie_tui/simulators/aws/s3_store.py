"""Buckets, objects and unfinished uploads on disk.

Layout below the root: ``<bucket>/bucket.json``, ``<bucket>/objects/<digest of key>/object.json`` beside the object's
part files, ``<bucket>/uploads/<upload id>/upload.json`` beside ``part-00001`` and ``part-00001.json``. Completing an
upload renames its folder, so no byte is copied. Nothing of an object's content is held in memory.
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
    """One object. ``headers`` are those given back on GET (Content-Type, x-amz-meta-..., encryption)."""

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
        """False when there are objects in it."""
        with self._lock:
            if any((self.root / name / "objects").iterdir()):
                return False
            shutil.rmtree(self.root / name)
            return True

    # objects

    def _folder(self, bucket: str, key: str) -> Path:
        return self.root / bucket / "objects" / hashlib.sha256(key.encode()).hexdigest()[:40]

    def get(self, bucket: str, key: str) -> Stored | None:
        with self._lock:
            return _read_object(self._folder(bucket, key))

    def keys(self, bucket: str) -> list[Stored]:
        """All objects, ordered by key as S3 orders them (UTF-8 bytes)."""
        with self._lock:
            found = [_read_object(folder) for folder in (self.root / bucket / "objects").iterdir()]
        return sorted((item for item in found if item), key=lambda item: item.key.encode())

    def reader(self, bucket: str, stored: Stored) -> ObjectReader:
        return ObjectReader(self._folder(bucket, stored.key), stored.parts)

    def incoming(self, bucket: str) -> Path:
        """A new empty folder to write an object's parts into before `put`."""
        folder = self.root / bucket / "incoming" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def put(self, bucket: str, folder: Path, stored: Stored) -> None:
        """Make the parts in ``folder`` the object ``stored``, in place of any older one."""
        _write_json(folder / "object.json", asdict(stored))
        target = self._folder(bucket, stored.key)
        trash = self.root / bucket / "incoming" / uuid.uuid4().hex
        with self._lock:
            if target.exists():
                target.rename(trash)
            folder.rename(target)
        shutil.rmtree(trash, ignore_errors=True)

    def update(self, bucket: str, stored: Stored) -> None:
        """New metadata for an object that is there."""
        with self._lock:
            _write_json(self._folder(bucket, stored.key) / "object.json", asdict(stored))

    def delete(self, bucket: str, key: str) -> None:
        with self._lock:
            shutil.rmtree(self._folder(bucket, key), ignore_errors=True)

    def link(self, source_bucket: str, source: Stored, bucket: str) -> Path:
        """A folder for `put` that shares the bytes of ``source``."""
        folder = self.incoming(bucket)
        with self._lock:
            for part in source.parts:
                os.link(self._folder(source_bucket, source.key) / part.file, folder / part.file)
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

    def complete(self, bucket: str, upload: Upload, stored: Stored) -> None:
        """Turn the upload into an object; parts it does not name are dropped."""
        folder, keep = self.upload_folder(bucket, upload.id), {part.file for part in stored.parts}
        with self._lock:
            (folder / "upload.json").unlink()
            for path in folder.glob("part-*"):
                if path.name not in keep:
                    path.unlink()
            self.put(bucket, folder, stored)

    def abort(self, bucket: str, upload_id: str) -> None:
        with self._lock:
            shutil.rmtree(self.upload_folder(bucket, upload_id), ignore_errors=True)


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
