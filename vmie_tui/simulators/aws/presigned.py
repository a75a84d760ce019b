"""Resolves presigned S3 URLs inside the simulator, as VM Import does with those in a manifest."""

from __future__ import annotations

import io
from collections.abc import Iterator
from email.message import Message
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from vmie_tui.simulators.aws import auth
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.s3_store import ObjectReader, Stored
from vmie_tui.simulators.aws.wire import ApiError, Body, Reply, Request, Throttle
from vmie_tui.simulators.control import Stats


class World(Protocol):
    """The parts of the simulator that this uses."""

    s3: S3Service
    keys: auth.Keys
    stats: Stats


def follow(world: World, method: str, url: str) -> Reply:
    """S3's response to this request; raises ApiError as S3 would."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ApiError("InvalidRequest", "The URL is not one of S3", 400)
    headers = Message()
    headers["Host"] = parts.netloc
    no_limit = Throttle(lambda: None, lambda: 0.0, lambda _: None)
    body = Body(io.BytesIO(), headers, lambda: None, no_limit)  # type: ignore[arg-type]
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    request = Request.parse(method, target, headers, body)  # type: ignore[arg-type]
    request.scope = auth.scope_of(request)
    request.service = request.scope.service if request.scope else "s3"
    if request.service != "s3":
        raise ApiError("AccessDenied", "Access Denied", 403)
    request.operation, run = world.s3.identify(request)
    world.stats.count(f"s3:{request.operation}")
    world.keys.check(request)
    return run()


def read(world: World, url: str) -> bytes:
    """The content of a small object."""
    reply = follow(world, "GET", url)
    return reply.body if reply.stream is None else b"".join(reply.stream)


def place(url: str) -> tuple[str, str]:
    """(bucket, key) a URL names, whether or not they exist."""
    parts = urlsplit(url)
    host, path = parts.netloc.partition(":")[0], unquote(parts.path).lstrip("/")
    if host.endswith(".localhost"):  # virtual-hosted style
        return host.removesuffix(".localhost"), path
    bucket, _, key = path.partition("/")
    return bucket, key


class Joined:
    """Several stored objects read as one image."""

    def __init__(self, s3: S3Service, objects: list[tuple[str, Stored]]) -> None:
        self._s3, self._objects = s3, objects
        self.size = sum(stored.size for _, stored in objects)
        self._readers: dict[int, ObjectReader] = {}

    def __enter__(self) -> Joined:
        return self

    def __exit__(self, *_: Any) -> None:
        for reader in self._readers.values():
            reader.__exit__()
        self._readers = {}

    def _reader(self, index: int) -> ObjectReader:
        if index not in self._readers:
            if len(self._readers) > 16:  # an open file each
                self.__exit__()
            self._readers[index] = self._s3.open(*self._objects[index])
        return self._readers[index]

    def pieces(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from ``offset`` on, at most 1 MiB at a time."""
        start = 0
        for index, (_, stored) in enumerate(self._objects):
            low, high = max(offset, start), min(offset + length, start + stored.size)
            if low < high:
                yield from self._reader(index).pieces(low - start, high - low)
            start += stored.size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes, fewer only at the end."""
        return b"".join(self.pieces(offset, length))
