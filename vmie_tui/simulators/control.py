"""What both simulators share: a clock that can run fast, faults on request, counters, TLS files, the admin paths.

Admin protocol, under ``/_sim/`` on either simulator's port (loopback only, JSON bodies). Each request needs the token
of `Gate` in the header X-Vmie-Sim-Token and a Host header that names this machine:

- ``GET /_sim/stats`` -> ``{"requests": {"s3:UploadPart": 12}, "regions": {"eu-west-1": {"s3:UploadPart": 12}}}``
- ``POST /_sim/clock`` ``{"speed": 60}`` or ``{"advance": 30}``
- ``POST /_sim/faults`` ``{"operation": "UploadPart", "match": "key part", "times": 3, "action": "error",
  "code": "SlowDown", "status": 503}``; ``GET /_sim/faults`` tells them with how often each
  has ``fired``, ``DELETE /_sim/faults`` forgets them all. A fault may be for one ``region`` or
  ``account``; the operation ``*`` stands for every call, ``times`` null for ever.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TOKEN_HEADER = "X-Vmie-Sim-Token"  # noqa: S105 - the name of a header
LOCAL_HOST = re.compile(r"(?:(?:[a-z0-9_-]+\.)*localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)


class Serving:
    """A simulator as a context manager: it listens inside the block."""

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Gate:
    """Admits to the controls whoever has the token that `simulate` prints; generated if none is given.

    Loopback alone keeps out neither other users of the machine nor pages in a browser: those get here by a name of
    theirs that they let resolve to 127.0.0.1 (DNS rebinding), and such a name stands in the Host header.
    """

    def __init__(self, token: str = "") -> None:
        self.token = token or secrets.token_urlsafe(32)

    def refuses(self, headers: Iterable[tuple[str, str]]) -> tuple[int, dict[str, Any]] | None:
        """(HTTP status, JSON object) for a request with these headers that may not use the controls; None: it may."""
        fields = [(name.lower(), value.strip()) for name, value in headers]
        hosts = [value for name, value in fields if name == "host"]
        if len(hosts) != 1 or not LOCAL_HOST.fullmatch(hosts[0]):
            return 403, {"error": "the controls are for localhost, 127.0.0.1 and [::1]: another Host is refused"}
        given = [value for name, value in fields if name == TOKEN_HEADER.lower()]
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self.token.encode()):
            return 403, {"error": f"the controls need the token that simulate prints, in the header {TOKEN_HEADER}"}
        return None


class SimClock:
    """Seconds since the epoch that pass ``speed`` times as fast as the wall clock."""

    def __init__(self, speed: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._speed = speed
        self._real = time.time()
        self._base = self._real

    def now(self) -> float:
        with self._lock:
            return self._now()

    def _now(self) -> float:
        return self._base + (time.time() - self._real) * self._speed

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        with self._lock:
            self._base, self._real, self._speed = self._now(), time.time(), value

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        with self._lock:
            self._base += seconds


@dataclass(slots=True)
class Fault:
    """One kind of trouble to make. ``times`` None means for ever; ``match`` is looked for in the request's subject.

    ``operation`` ``*`` is every one; ``region`` and ``account`` confine the trouble, "" does not.
    """

    operation: str
    action: str = "error"
    match: str = ""
    times: int | None = 1
    code: str = ""
    message: str = ""
    status: int = 500
    seconds: float = 0.0
    after: int = 0  # bytes or calls to let pass first, as the operation understands it
    region: str = ""
    account: str = ""
    fired: int = field(default=0)


class Faults:
    """The injected faults; an operation takes the first that matches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def asked_for(self) -> list[dict[str, Any]]:
        """Every fault as it was added, with how often it has ``fired``."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def take(
        self, operation: str, subject: str = "", *actions: str, region: str = "", account: str = ""
    ) -> Fault | None:
        """The next fault for this operation (of one of ``actions`` when given), used up once."""
        with self._lock:
            for fault in self._faults:
                spent = fault.times is not None and fault.fired >= fault.times
                if spent or fault.operation not in {operation, "*"} or fault.match not in subject:
                    continue
                if (fault.region and fault.region != region) or (fault.account and fault.account != account):
                    continue
                if actions and fault.action not in actions:
                    continue
                fault.fired += 1
                return fault
        return None

    def delay(self, fault: Fault, closing: threading.Event) -> None:
        """Wait for its seconds; no longer once the faults are cleared, or the server closes."""
        deadline = time.monotonic() + fault.seconds
        while (left := deadline - time.monotonic()) > 0 and not closing.wait(min(0.1, left)):
            with self._lock:
                if not any(each is fault for each in self._faults):
                    return


class Stats:
    """Counts the requests by operation, in total and by Region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._regions: dict[str, Counter[str]] = defaultdict(Counter)

    def count(self, operation: str, region: str = "") -> None:
        with self._lock:
            self._counts[operation] += 1
            if region:
                self._regions[region][operation] += 1

    def __getitem__(self, operation: str) -> int:
        with self._lock:
            return self._counts[operation]

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    def by_region(self) -> dict[str, dict[str, int]]:
        """Region -> operation -> requests."""
        with self._lock:
            return {region: dict(counts) for region, counts in self._regions.items()}

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()
            self._regions.clear()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the authority's certificate, the server's chain and its key."""

    ca: Path
    chain: Path
    key: Path


def make_tls(folder: Path, *names: str) -> TlsFiles:
    """Make an authority and a server certificate for loopback (and ``names``) in ``folder``."""
    import trustme

    folder.mkdir(parents=True, exist_ok=True)
    files = TlsFiles(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1", *names)
    authority.cert_pem.write_to_path(str(files.ca))
    files.chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    files.key.touch(mode=0o600)
    certificate.private_key_pem.write_to_path(str(files.key))
    return files


def admin(
    method: str, path: str, body: bytes, *, clock: SimClock, faults: Faults, stats: Stats
) -> tuple[int, dict[str, Any]]:
    """Answer one ``/_sim/`` request: (HTTP status, JSON object)."""
    try:
        data: dict[str, Any] = json.loads(body or b"{}")
        match method, path.removeprefix("/_sim/"):
            case "GET", "stats":
                return 200, {"requests": stats.snapshot(), "regions": stats.by_region(), "speed": clock.speed}
            case "DELETE", "stats":
                stats.reset()
            case "POST", "clock":
                if "speed" in data:
                    clock.speed = float(data["speed"])
                clock.advance(float(data.get("advance", 0)))
            case "POST", "faults":
                faults.add(Fault(**data))
            case "GET", "faults":
                return 200, {"faults": faults.asked_for()}
            case "DELETE", "faults":
                faults.clear()
            case _:
                return 404, {"error": f"no such control: {method} {path}"}
    except (TypeError, ValueError) as error:
        return 400, {"error": str(error)}
    return 200, {"ok": True}
