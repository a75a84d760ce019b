"""Downloads an S3 object to a file: by ranges, resumable, verified against S3's checksum, all or nothing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.private_files import private_dir, write_private
from vmie_tui.services.aws.errors import aws_call, boto_errors, error_code, transient, translate
from vmie_tui.services.aws.s3.multipart import RunningCrc, crc_of
from vmie_tui.services.aws.s3.range_reader import CHANGED, other_bytes
from vmie_tui.services.aws.session import PARTS, Aws
from vmie_tui.services.disks.streams.output import check_free, exists, local_errors, part_name, write_error
from vmie_tui.services.pacing import Backoff, pause
from vmie_tui.services.transfer_control import TransferControl

NOTES = "downloads"  # in the state folder: which part file is of which object
RANGE_BYTES = 8 << 20  # one request
READ_BYTES = 1 << 20  # in memory at once
ATTEMPTS, FIRST_WAIT = 6, 0.5  # for one range, in a row; seconds before the second
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Downloaded:
    """``checksum``: CRC64NVME of the file in base64. ``proven`` says by what it equals the object: CRC64NVME, MD5, or
    size when S3 keeps neither (an object written in parts without a checksum).
    """

    path: str
    size: int
    checksum: str
    proven: str
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class _Object:
    """The object as it was when the download began; a resume requires the same version."""

    bucket: str
    key: str
    size: int
    etag: str
    checksum: str
    md5: str  # the ETag where it is one: not of objects in parts or encrypted with KMS (trap 16)

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Download:
    """Downloads from the buckets of one Region."""

    def __init__(self, aws: Aws, region: str | None = None, notes: Path | None = None) -> None:
        """``notes``: the folder of ours where unfinished downloads are noted, so that the next attempt goes on with
        them; without one each begins anew.
        """
        self._aws, self.region, self._notes = aws, region or aws.region, notes

    def fetch(
        self, bucket: str, key: str, destination: Path, *, control: TransferControl, force: bool = False
    ) -> Downloaded:
        """Downloads the object to ``destination``, which appears only once it is complete and verified.

        What an attempt that was stopped has written lies beside it under a hidden name that nobody can guess, and is
        gone on with as long as the object is the same. Raises ServiceError: NOT_FOUND, PERMISSION, CONFLICT (the file
        exists, the object was replaced, or another file was put in the place of ours), CORRUPT (other bytes than S3's
        checksum says; they are removed), LOCAL (disk full).
        """
        source = self._look(bucket, key)
        check_free(destination, force=force)
        begun = _begun(destination, self._notes, source)
        part = begun or partial(destination)
        if begun is None and self._notes is not None:
            text = json.dumps({"part": part.name, "object": asdict(source)})
            with local_errors(self._notes):
                write_private(_note(destination, private_dir(self._notes)), text.encode())
        with local_errors(destination):
            fd = _open_own(part, new=begun is None)
        finished = False
        try:
            have = min(os.fstat(fd).st_size, source.size)
            run = _Run(fd, source, destination, control)
            with local_errors(destination):
                _check_room(destination, source.size - have)
                run.replay(have)
            self._rest(run)
            with local_errors(destination):
                os.fsync(fd)
            try:
                proven = run.prove()
            except ServiceError:
                _discard(part)
                forget(destination, self._notes)
                raise
            _place(part, destination, force=force)
            if not os.path.samestat(os.fstat(fd), destination.lstat()):
                raise _exchanged(destination)
            finished = True
        finally:
            os.close(fd)
            if self._notes is None and not finished:  # nobody would find it again
                _discard(part)
        if self._notes is not None:
            _discard(_note(destination, self._notes))
        return Downloaded(str(destination), source.size, run.checksum, proven, have)

    def _look(self, bucket: str, key: str) -> _Object:
        url = f"s3://{bucket}/{key}"
        with aws_call("look at the object", url):
            answer = self._aws.client("s3", self.region).head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        whole = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        checksum = str(answer.get("ChecksumCRC64NVME", "")) if whole else ""
        tag = str(answer["ETag"]).strip('"')
        plain = answer.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in answer
        md5 = tag if plain and _MD5.fullmatch(tag) else ""
        return _Object(bucket, key, int(answer["ContentLength"]), str(answer["ETag"]), checksum, md5)

    def _rest(self, run: _Run) -> None:
        """Fetches what is missing, range by range; a broken range resumes where it broke off."""
        backoff = Backoff(ATTEMPTS, FIRST_WAIT)
        while run.at < run.source.size:
            run.control.check()
            begun = run.at
            try:
                for data in self._range(run.source, run.at, min(run.at + RANGE_BYTES, run.source.size)):
                    run.write(data)
                    run.control.check()
            except boto_errors() as error:
                if run.at > begun:
                    backoff.reset()
                if error_code(error) in CHANGED:
                    raise _replaced(run.source) from error
                if not transient(error) or not backoff.fail():
                    raise translate(error, "download the object", run.source.url) from error
                pause(backoff.seconds, run.control.check)
            else:
                backoff.reset()

    def _range(self, source: _Object, start: int, end: int) -> Any:
        """Streams a range; the response must be exactly that range of the same object."""
        answer = self._aws.client(PARTS, self.region).get_object(
            Bucket=source.bucket, Key=source.key, Range=f"bytes={start}-{end - 1}", IfMatch=source.etag
        )
        wanted = f"bytes {start}-{end - 1}/{source.size}"
        body = answer["Body"]
        with contextlib.closing(body):
            if answer.get("ContentRange") != wanted:
                raise other_bytes(source.url, wanted, str(answer.get("ContentRange")))
            left = end - start
            while left:
                data = body.read(min(READ_BYTES, left))
                if not data:
                    raise ConnectionResetError("the answer ended early")
                left -= len(data)
                yield data


def partial(destination: Path) -> Path:
    """A fresh, unguessable path for an unfinished download: nobody can place a file there beforehand."""
    return part_name(destination, "vmie-part")


def forget(destination: Path, notes: Path | None) -> None:
    """Removes the leftovers of an unfinished download."""
    if notes is None:
        return
    note = _note(destination, notes)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        _discard(_noted(destination, json.loads(note.read_bytes())))
    _discard(note)


def _note(destination: Path, notes: Path | None = None) -> Path:
    """The path of the note that names an unfinished download's part file and its object."""
    ident = hashlib.sha256(os.fsencode(destination.absolute())).hexdigest()[:32]
    return (notes or destination.parent) / f"{ident}.json"


def _noted(destination: Path, note: dict[str, Any]) -> Path:
    """The part file named in a note; raises ValueError for a name this program would not generate."""
    name = str(note["part"])
    if not (name.startswith(f".{destination.name[:200]}.") and name.endswith(".vmie-part") and "/" not in name):
        raise ValueError(name)
    return destination.with_name(name)


def _discard(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _open_own(path: Path, *, new: bool) -> int:
    """A descriptor of a file beside the download: made now, or ours from an earlier attempt; never through a link."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o666)
    if not _ours(os.fstat(fd)):
        os.close(fd)
        raise PermissionError(errno.EPERM, "another user's file lies in its place", str(path))
    return fd


def _ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1


def _begun(destination: Path, notes: Path | None, source: _Object) -> Path | None:
    """The part file of an earlier attempt at the same object; leftovers of any other are removed."""
    if notes is None:
        return None
    try:
        note = json.loads(_note(destination, notes).read_bytes())
        part = _noted(destination, note)
        if note["object"] == asdict(source) and _ours(part.lstat()):
            return part
    except (OSError, ValueError, TypeError, KeyError):
        pass
    forget(destination, notes)
    return None


def _check_room(destination: Path, wanted: int) -> None:
    found = os.statvfs(destination.parent)
    free = found.f_bavail * found.f_frsize
    if wanted > free:
        raise ServiceError(
            ErrorKind.LOCAL,
            f"there is not enough room: {wanted} bytes are wanted, {free} are free",
            subject=str(destination.parent),
            remedy="Free some space, or download elsewhere",
            retry_safe=True,
        )


def _place(part: Path, destination: Path, *, force: bool) -> None:
    with local_errors(destination):
        if force:
            part.replace(destination)
        else:
            try:
                os.link(part, destination, follow_symlinks=False)
            except FileExistsError as error:
                raise exists(destination) from error
            except OSError:  # a file system without links
                check_free(destination, force=False)
                part.replace(destination)
            else:
                part.unlink()
        folder = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _replaced(source: _Object) -> ServiceError:
    return ServiceError(
        ErrorKind.CONFLICT,
        "the object was replaced while it was downloaded",
        subject=source.url,
        remedy="Start again",
        retry_safe=True,
    )


def _exchanged(destination: Path) -> ServiceError:
    return ServiceError(
        ErrorKind.CONFLICT,
        "another file was put in the place of the download while it was proven",
        subject=str(destination),
        remedy="Do not use that file; download into a folder that nobody else may write",
    )


class _Run:
    """One attempt: the file, its progress, and the running checksums of its content."""

    def __init__(self, fd: int, source: _Object, destination: Path, control: TransferControl) -> None:
        self.source, self.control, self.at = source, control, 0
        self._fd, self._destination, self._crc = fd, destination, RunningCrc()
        # MD5 only where nothing else can prove the bytes: an object put whole, without a checksum.
        self._md5 = hashlib.md5(usedforsecurity=False) if source.md5 and not source.checksum else None

    @property
    def checksum(self) -> str:
        return self._crc.text

    def replay(self, have: int) -> None:
        """Feeds what is already on disk into the checksums: reading is cheaper than fetching again."""
        while self.at < have:
            self.control.check()
            data = os.pread(self._fd, min(READ_BYTES, have - self.at), self.at)
            if not data:
                break  # cut off meanwhile: the rest is fetched
            self._count(data, skipped=True)
        os.ftruncate(self._fd, self.at)

    def write(self, data: bytes) -> None:
        """Append; local trouble is told apart from the network's here."""
        view, done = memoryview(data), 0
        try:
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], self.at + done)
        except OSError as error:
            raise write_error(self._destination, error) from error
        self._count(data)

    def _count(self, data: bytes, *, skipped: bool = False) -> None:
        self._crc.add(crc_of(data), len(data))
        if self._md5 is not None:
            self._md5.update(data)
        self.at += len(data)
        self.control.moved(len(data), skipped=skipped)

    def prove(self) -> str:
        """What the bytes were verified by: CRC64NVME, MD5 or size. Raises ServiceError CORRUPT."""
        wanted, got, by = self.source.checksum, self.checksum, "CRC64NVME"
        if not wanted and self._md5 is not None:
            wanted, got, by = self.source.md5, self._md5.hexdigest(), "MD5"
        if not wanted:
            return "size"
        if wanted == got:
            return by
        raise ServiceError(
            ErrorKind.CORRUPT,
            "what was downloaded has another checksum than the object in S3",
            subject=self.source.url,
            remedy="It was removed; download it again",
            retry_safe=True,
            detail=f"{by} in S3: {wanted}, received: {got}",
        )
