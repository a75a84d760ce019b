"""One HTTP request, its body and its answer, as the simulated AWS services see them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

PIECE = 1 << 20
_LOCAL = threading.local()


class Headers(Protocol):
    """Header fields, found without regard to case."""

    def get(self, name: str, default: str | None = None, /) -> str | None: ...
    def items(self) -> list[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Who signed a request, and for what (SigV4 credential scope)."""

    access_key: str
    date: str
    region: str
    service: str


class ApiError(Exception):
    """An answer that says no, in AWS's code and words; ``fields`` are extra members of the error document."""

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        *,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status
        self.fields, self.headers = dict(fields or {}), dict(headers or {})


class Disconnect(Exception):
    """Cuts the connection without a response."""


@dataclass(slots=True)
class Reply:
    """A response. ``stream`` yields the body when it is not in ``body``; ``length`` is then its size in bytes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: Iterator[bytes | memoryview] | None = None
    length: int | None = None


class Throttle:
    """Holds one direction of one connection to a rate (bytes per second; None is no limit)."""

    def __init__(
        self, rate: Callable[[], float | None], now: Callable[[], float], wait: Callable[[float], None]
    ) -> None:
        self._rate, self._now, self._wait, self._free = rate, now, wait, 0.0

    def spend(self, nbytes: int) -> None:
        """Come back when ``nbytes`` more may have passed."""
        rate = self._rate()
        if rate:
            now = self._now()
            self._free = max(self._free, now) + nbytes / rate
            self._wait(self._free - now)


class _HttpChunks(io.RawIOBase):
    """The bytes of a body sent with ``Transfer-Encoding: chunked``."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._left, self._ended = source, 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._left == 0 and not self._ended:
            size = int(_line(self._source).split(b";")[0], 16)
            if size == 0:
                self._ended = True
                while _line(self._source):
                    pass
            self._left = size
        if self._ended:
            return 0
        got = self._source.readinto(memoryview(buffer)[: self._left])  # type: ignore[attr-defined]
        if not got:
            raise Disconnect
        self._left -= got
        if self._left == 0:
            _line(self._source)
        return int(got)


class _Counted(io.RawIOBase):
    """The next ``size`` bytes of a stream."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source, self._left = source, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            return 0
        got = self._source.readinto(memoryview(buffer)[: self._left])  # type: ignore[attr-defined]
        if not got:
            raise Disconnect
        self._left -= got
        return int(got)


def _line(source: BinaryIO) -> bytes:
    line = source.readline(1 << 16)
    if not line.endswith(b"\n"):
        raise Disconnect
    return line.strip()


class Body:
    """A request's body, taken out of HTTP and aws-chunked framing piece by piece.

    ``trailers`` (lower case names) are filled once everything was read. ``size`` is the decoded length, or None when
    the client did not say. ``on_start`` runs before the first byte is read (it sends ``100 Continue``).
    """

    def __init__(self, source: BinaryIO, headers: Headers, on_start: Callable[[], None], throttle: Throttle) -> None:
        self.trailers: dict[str, str] = {}
        self.started = False
        self.ended = False
        self._content: bytes | None = None
        self._on_start, self._throttle = on_start, throttle
        encoding = headers.get("Content-Encoding") or ""
        self._signed_chunks = "aws-chunked" in encoding or (headers.get("x-amz-content-sha256") or "").startswith(
            "STREAMING-"
        )
        length = headers.get("Content-Length")
        decoded = headers.get("x-amz-decoded-content-length")
        self.size: int | None = int(decoded) if decoded else int(length) if length else None
        raw: io.RawIOBase
        if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
            raw = _HttpChunks(source)
        else:
            raw = _Counted(source, int(length or 0))
            self.size = self.size or 0
            self.ended = not int(length or 0)
        self._raw = raw

    def pieces(self) -> Iterator[memoryview]:
        """The content, at most 1 MiB at a time; each view is valid until the next one is asked for."""
        if self.ended:
            if self._content:
                yield memoryview(self._content)
            return
        if not self.started:
            self.started = True
            self._on_start()
        if self._signed_chunks:
            yield from self._aws_chunks(io.BufferedReader(self._raw, 1 << 17))
        else:
            view = _buffer()
            while got := self._fill(self._raw, view):
                yield view[:got]
        self.ended = True

    def _fill(self, source: io.RawIOBase, view: memoryview) -> int:
        done = 0
        while done < len(view):
            got = source.readinto(view[done:])
            if not got:
                break
            done += got
            self._throttle.spend(got)
        return done

    def _aws_chunks(self, source: io.BufferedReader) -> Iterator[memoryview]:
        view, total = _buffer(), 0
        while size := int(_line(source).split(b";")[0], 16):
            while size:
                got = source.readinto(view[: min(size, len(view))])
                if not got:
                    raise Disconnect
                size -= got
                total += got
                self._throttle.spend(got)
                yield view[:got]
            _line(source)
        while line := source.readline(1 << 16).strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers[name.strip().lower()] = value.strip()
        while source.read(1 << 16):
            pass
        if self.size is not None and total != self.size:
            raise ApiError(
                "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"
            )

    def read(self, limit: int = 64 << 20) -> bytes:
        """The whole content of a small request; may be asked for again."""
        if self._content is not None:
            return self._content
        out = bytearray()
        for piece in self.pieces():
            out += piece
            if len(out) > limit:
                raise ApiError("RequestEntityTooLarge", "The request is too large", 413)
        self._content = bytes(out)
        return self._content

    def drain(self) -> None:
        """Discards the rest of the body, so that the connection can be reused."""
        if self.started:
            while self._raw.readinto(_buffer()):
                pass
        else:
            for _ in self.pieces():
                pass


def _buffer() -> memoryview:
    view: memoryview | None = getattr(_LOCAL, "view", None)
    if view is None:
        view = _LOCAL.view = memoryview(bytearray(PIECE))
    return view


@dataclass(slots=True)
class Request:
    """One call. ``raw_path`` and ``raw_query`` are as sent; ``path`` and ``query`` are decoded."""

    method: str
    raw_path: str
    raw_query: str
    headers: Headers
    body: Body
    scope: Scope | None = None
    service: str = ""
    operation: str = ""
    request_id: str = ""
    signed_path: str = ""  # the path before a bucket in the host name was put in front of it

    @classmethod
    def parse(cls, method: str, target: str, headers: Headers, body: Body) -> Request:
        parts = urlsplit("//host" + target) if target.startswith("/") else urlsplit(target)
        return cls(method, parts.path or "/", parts.query, headers, body, signed_path=parts.path or "/")

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def region(self) -> str:
        return self.scope.region if self.scope else "us-east-1"

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name) or default
