"""The data side of an export lease: a disk as streamOptimized VMDK, compressed while it is sent."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from pyVmomi import vmodl

from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.vcenter.leases import Leases
from vmie_tui.simulators.vcenter.machine import Device, Lease
from vmie_tui.simulators.vcenter.shared_state import Center

NVRAM_BYTES = 8684
PIECE, SMALLEST = 256 << 10, 4 << 10  # bytes gathered before they are sent, on fast and slow links

PREPARING = threading.Lock()  # one disk is compressed at a time


class Parts(Protocol):
    """The parts of the simulator that a stream uses."""

    center: Center
    leases: Leases
    stopped: threading.Event


class StreamEndedError(Exception):
    """The stream stops here: by a fault asked for, or because the lease ended. ``reset``: with a TCP reset."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("the data stream ended")
        self.reset = reset


class Pace:
    """Holds a stream to the link rate, which may change meanwhile."""

    def __init__(self, center: Center, stopped: threading.Event) -> None:
        self._center, self._stopped = center, stopped
        self._due = time.monotonic()

    def share(self) -> int:
        """Bytes to send at once: a tenth of a second's worth, so that a slow stream still flows evenly."""
        rate = self._center.options.nfc_rate
        return max(SMALLEST, min(PIECE, rate // 10)) if rate else PIECE

    def spend(self, nbytes: int) -> None:
        """Wait until so many bytes may go."""
        rate = self._center.options.nfc_rate
        now = time.monotonic()
        if not rate:
            self._due = now
            return
        self._due = max(self._due, now - 0.25) + nbytes / rate
        if self._due > now:
            self._stopped.wait(self._due - now)


def _send_prepared(source: RawFile, write: Callable[[bytes | memoryview], Any]) -> int:
    """Send the kept stream of a disk's present content, made when it is not there yet."""
    made = source.path.stat()
    with PREPARING:
        found = next(source.path.parent.glob(f"{source.path.stem}.{made.st_ino}-{made.st_mtime_ns}-*.vmdk"), None)
        if found is None:
            draft = source.path.with_suffix(".stream")
            with draft.open("wb") as file:
                grains = encode(source, file.write).grains
            found = source.path.with_suffix(f".{made.st_ino}-{made.st_mtime_ns}-{grains}.vmdk")
            draft.replace(found)
    with found.open("rb") as file:
        while piece := file.read(PIECE):
            write(piece)
    return int(found.stem.rsplit("-", 1)[-1])


class Stream:
    """Sends one device of one lease, in HTTP chunks or plain. ``source`` is None for a file that is no disk."""

    def __init__(
        self, parts: Parts, lease: Lease, device: Device, source: RawFile | None, send: Callable[[bytes], Any]
    ) -> None:
        self._center, self._leases, self._stopped = parts.center, parts.leases, parts.stopped
        self._lease, self._device, self._source, self._send = lease, device, source, send
        self._pace = Pace(parts.center, parts.stopped)
        self._pending = bytearray()
        self._sha1 = hashlib.sha1()  # noqa: S324 - what the protocol says
        self._sha256 = hashlib.sha256() if device.digest == "sha256" else None
        self._total = 0
        self._fault: Fault | None = None
        self.chunked = True

    def length(self) -> int:
        """Bytes the stream will have."""
        total = 0

        def count(piece: bytes | memoryview) -> None:
            nonlocal total
            total += len(piece)

        if self._source is None:
            return NVRAM_BYTES
        self._encode(self._source, count)
        return total

    def _encode(self, source: RawFile, write: Callable[[bytes | memoryview], Any]) -> int:
        """Write the stream; the grains in it."""
        if self._center.options.nfc_prepared:
            return _send_prepared(source, write)
        return encode(source, write, threads=self._center.options.nfc_threads, name=self._device.file).grains

    def run(self, fault: Fault | None) -> None:
        """Send it all; raises StreamEndedError when it must break off."""
        self._fault = fault
        grains = 0
        if self._source is None:
            self._write(bytes(NVRAM_BYTES))
        else:
            grains = self._encode(self._source, self._write)
        self._flush()
        if self.chunked:
            self._send(b"0\r\n\r\n")
        digest = (self._sha1 if self._sha256 is None else self._sha256).hexdigest()
        self._device.sent = (self._total, self._sha1.hexdigest(), digest, grains << 16)

    def _write(self, piece: bytes | memoryview) -> None:
        self._pending += piece
        if len(self._pending) >= self._pace.share():
            self._flush()

    def _flush(self) -> None:
        piece = bytes(self._pending)
        self._pending.clear()
        fault = self._fault
        if fault is not None and self._total + len(piece) > fault.after:
            allowed = max(0, fault.after - self._total)
            self._put(piece[:allowed])
            self._break(fault)
            piece = piece[allowed:]
        self._put(piece)

    def _put(self, whole: bytes) -> None:
        at = 0
        while at < len(whole):
            if self._stopped.is_set() or self._lease.state != "ready":
                raise StreamEndedError(reset=True)
            piece = whole[at : at + self._pace.share()]
            at += len(piece)
            self._pace.spend(len(piece))
            self._sha1.update(piece)
            if self._sha256 is not None:
                self._sha256.update(piece)
            self._total += len(piece)
            self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)

    def _break(self, fault: Fault) -> None:
        match fault.action:
            case "delay":
                self._fault = None
                self._stopped.wait(fault.seconds)
                return
            case "lose-lease":
                text = fault.message or "The host lost the connection to the datastore."
                self._leases.fail(self._lease, vmodl.fault.SystemError(reason=fault.code or "lost", msg=text))
                raise StreamEndedError(reset=True)
            case "truncate":
                if self.chunked:
                    self._send(b"0\r\n\r\n")
                raise StreamEndedError(reset=False)
            case _:
                raise StreamEndedError(reset=True)
