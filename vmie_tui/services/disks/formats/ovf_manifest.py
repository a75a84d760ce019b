"""The manifest (``.mf``) of an OVF package: which digest each of its files has, read line by line.

DSP0243, 9.1 writes ``SHA256(name)= hex``. Read as well: blanks anywhere between the parts, OpenSSL's spelling
``SHA2-256(name)=``, the lines of sha256sum, and UTF-16 (what PowerShell's ``>`` writes).
"""

from __future__ import annotations

import codecs
import hashlib
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vmie_tui.model.errors import ErrorKind
from vmie_tui.services.disks.errors import DiskFormatError, corrupt
from vmie_tui.services.disks.streams.source import ByteReader

MAX_MANIFEST = 1 << 20
_STEP = 1 << 20
_NAMES = {  # as manifests spell it, letters and digits only, for the name of hashlib
    "md5": "md5",
    "sha": "sha1", "sha1": "sha1",
    "sha224": "sha224", "sha2224": "sha224", "sha256": "sha256", "sha2256": "sha256",
    "sha384": "sha384", "sha2384": "sha384", "sha512": "sha512", "sha2512": "sha512",
    "sha3224": "sha3_224", "sha3256": "sha3_256", "sha3384": "sha3_384", "sha3512": "sha3_512",
    "blake2b": "blake2b", "blake2b512": "blake2b", "blake2s": "blake2s", "blake2s256": "blake2s",
}  # fmt: skip
_BY_LENGTH = {32: "MD5", 40: "SHA1", 64: "SHA256", 96: "SHA384", 128: "SHA512"}  # hex digits, where no name stands


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Digest:
    """A file's checksum in a manifest."""

    algorithm: str  # as the manifest spells it
    value: str  # lower case hex

    @property
    def strength(self) -> int:
        """Bits; 0 for a kind that is not known here."""
        return 4 * len(self.value) if self.begin() else 0

    def begin(self) -> Hash | None:
        """A hash of this kind; None for one that is not known here."""
        name = _hash_name(self.algorithm)
        return hashlib.new(name, usedforsecurity=False) if name in hashlib.algorithms_available else None


class Manifest:
    """What a manifest says. ``name``: its own, for messages.

    Of several digests of a file the one that proves most counts. Raises ``DiskFormatError`` (CORRUPT) for a manifest
    that is too long, or gives a file two digests of one kind.
    """

    def __init__(self, name: str, data: bytes) -> None:
        if len(data) > MAX_MANIFEST:
            raise corrupt(f"the manifest {name} has more than {MAX_MANIFEST >> 20} MiB")
        self.name = name
        self._digests: dict[str, Digest] = {}
        said: dict[tuple[str, str], str] = {}
        for file, digest in parse_manifest(data):
            key = plain_name(file)
            kind = _hash_name(digest.algorithm) or digest.algorithm.lower()
            if said.setdefault((key, kind), digest.value) != digest.value:
                raise self.contradicted(f"the manifest {name} gives {file} two different {digest.algorithm} digests")
            if key not in self._digests or digest.strength > self._digests[key].strength:
                self._digests[key] = digest
        self._letters: dict[str, list[Digest]] = {}
        for key, digest in self._digests.items():
            self._letters.setdefault(key.casefold(), []).append(digest)

    @property
    def empty(self) -> bool:
        """Whether no line in it is a digest."""
        return not self._digests

    def digest(self, *names: str) -> Digest | None:
        """Of the file that goes by any of these names; by one in other letters where only one file is called so."""
        wanted = [plain_name(name) for name in names if name]
        found = next((self._digests[name] for name in wanted if name in self._digests), None)
        like = (self._letters.get(name.casefold(), []) for name in wanted)
        return found or next((each[0] for each in like if len(each) == 1), None)

    def check(self, file: str, source: ByteReader, digest: Digest, stop: Callable[[], object] = lambda: None) -> None:
        """Read all of ``source`` and compare. ``stop`` is called often and may raise.

        Raises ``DiskFormatError`` (CORRUPT) where the file is not what the manifest says. A digest of a kind that is
        not known here proves nothing, and refuses nothing.
        """
        found, at = digest.begin(), 0
        if found is None:
            return
        while at < source.size:
            stop()
            piece = source.read_at(at, min(_STEP, source.size - at))
            if not piece:
                raise corrupt(f"{file} ends at byte {at} of {source.size}")
            found.update(piece)
            at += len(piece)
        if found.hexdigest() != digest.value:
            raise self.contradicted(f"{file} is not what the manifest {self.name} says: its {digest.algorithm} differs")

    def contradicted(self, what: str) -> DiskFormatError:
        """The package and its manifest disagree."""
        return DiskFormatError(
            ErrorKind.CORRUPT,
            what,
            remedy="Copy or export it again; remove the manifest only if you know why, and trust its files",
        )


def parse_manifest(data: bytes) -> Iterator[tuple[str, Digest]]:
    """(file, digest) for each line that is one; other lines, comments and empty ones are passed over."""
    for line in _text(data).replace("\r", "\n").split("\n"):
        found = _entry(line.strip()) or _sum(line.strip())
        if found is not None:
            yield found


def plain_name(name: str) -> str:
    """A file's name for comparing: without a leading ``./``, with ``/`` between folders, composed characters."""
    parts = name.replace("\\", "/").split("/")
    return unicodedata.normalize("NFC", "/".join(part for part in parts if part not in {"", "."}))


def _text(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _entry(line: str) -> tuple[str, Digest] | None:
    """``SHA256 (any (name) = here) = hex``: the algorithm ends at the first bracket, the name at the last."""
    front, equals, value = line.rpartition("=")
    algorithm, bracket, name = front.rstrip().partition("(")
    value = value.strip().lower()
    if not equals or not bracket or not name.endswith(")") or not _hex(value):
        return None
    return name[:-1].strip(), Digest(algorithm.strip(), value)


def _sum(line: str) -> tuple[str, Digest] | None:
    """``hex  name`` or ``hex *name``; with a backslash in front where the name has escapes (GNU coreutils)."""
    escaped = line.startswith("\\")
    value, name = (*line.removeprefix("\\").split(None, 1), "", "")[:2]
    algorithm = _BY_LENGTH.get(len(value))
    name = name.removeprefix("*")
    if escaped:
        name = "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in name.split("\\\\"))
    return (name, Digest(algorithm, value.lower())) if algorithm and name and _hex(value.lower()) else None


def _hex(value: str) -> bool:
    return 32 <= len(value) <= 128 and value.isascii() and all(each in "0123456789abcdef" for each in value)


def _hash_name(algorithm: str) -> str:
    return _NAMES.get("".join(each for each in algorithm.lower() if each.isalnum()), "")
