"""Uploads one disk to its ESXi host: an HTTP POST from a feed generated in passing.

In chunks, for the length is known at the end only. Hosts take that (VMware's own samples send so), but some were seen
to answer HTTP 500 to it: then the length is found out beforehand.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
from collections.abc import Callable

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.feeds.disk_feed import Feed
from vmie_tui.services.disks.feeds.tee import CHUNK
from vmie_tui.services.vsphere.nfc.nfc_lease import DataPlace
from vmie_tui.services.vsphere.tls import VerifiedConnection

ANSWER_SECONDS = 300.0  # a host answers once the last byte is on its datastore
STREAM_VMDK = "application/x-vnd.vmware-streamVmdk"
_HEAD = 10  # bytes of a chunk's length, as "000fffff" and a line end
_TAKEN = frozenset({200, 201, 204})
_KINDS = {401: ErrorKind.LOGIN, 403: ErrorKind.PERMISSION, 404: ErrorKind.NOT_FOUND, 507: ErrorKind.LOCAL}


class DiskUpload:
    """A connection that sends one disk. ``sent`` bytes so far, their ``sha1`` once all went."""

    def __init__(self, place: DataPlace, *, explain: Callable[[], ServiceError | None] = lambda: None) -> None:
        """Connect. ``explain`` is asked why a transfer failed. Raises ServiceError TLS, NETWORK."""
        self.sent, self.sha1 = 0, ""
        self._place, self._explain, self._broken = place, explain, False
        self._connection = VerifiedConnection(
            place.host, place.port, trust=place.trust, timeout=ANSWER_SECONDS, proxy=place.proxy
        )
        self._connection.connect()

    def send(self, feed: Feed, tell: Callable[[int], None], length: int | None = None) -> None:
        """All that ``feed`` gives, in chunks unless its ``length`` in bytes is given; ``tell`` hears of each piece
        before the next is made and may raise.

        Raises ServiceError: what the feed raises, NETWORK (retry_safe) when the connection broke, and what the host
        answered when it did not take the disk.
        """
        digest = hashlib.sha1()  # noqa: S324 - hosts before vSphere 6.7 know no other
        buffer = memoryview(bytearray(_HEAD + CHUNK + 2))
        try:
            self._begin(length)
            while count := feed.fill(buffer[_HEAD : _HEAD + CHUNK]):
                buffer[:_HEAD] = b"%08x\r\n" % count
                buffer[_HEAD + count : _HEAD + count + 2] = b"\r\n"
                digest.update(buffer[_HEAD : _HEAD + count])
                self._connection.send(buffer[: _HEAD + count + 2] if length is None else buffer[_HEAD : _HEAD + count])
                self.sent += count
                tell(count)
            if length is None:
                self._connection.send(b"0\r\n\r\n")
            answer = self._connection.getresponse()
            answer.read()
        except ServiceError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        if answer.status not in _TAKEN:
            raise self._explain() or self._refused(answer)
        self.sha1 = digest.hexdigest()

    def _begin(self, length: int | None) -> None:
        connection = self._connection
        connection.putrequest("POST", self._place.path, skip_accept_encoding=True)
        connection.putheader("Content-Type", STREAM_VMDK)
        if length is None:
            connection.putheader("Transfer-Encoding", "chunked")
        else:
            connection.putheader("Content-Length", str(length))
        connection.putheader("Overwrite", "t")
        if self._place.cookie:
            connection.putheader("Cookie", self._place.cookie)
        connection.endheaders()

    def _failed(self, error: Exception) -> ServiceError:
        """The lost lease, the host's early answer, or that the connection broke."""
        cause = self._explain()
        if cause is not None:
            return cause
        if not self._broken:
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = self._connection.getresponse()
                if answer.status not in _TAKEN:
                    return self._refused(answer)
        place = self._place
        return ServiceError(
            ErrorKind.NETWORK,
            f"the upload broke off after {self.sent} bytes",
            subject=f"{place.host}:{place.port}",
            remedy=f"Try again: disks go straight to the host {place.host}",
            retry_safe=True,
            code="IncompleteWrite",
            detail=str(error),
        )

    def _refused(self, answer: http.client.HTTPResponse) -> ServiceError:
        return ServiceError(
            _KINDS.get(answer.status, ErrorKind.REMOTE),
            f"the host would not take the disk: HTTP {answer.status} {answer.reason}",
            subject=f"{self._place.host}:{self._place.port}",
            remedy="See the host's log (vpxa, hostd) for its reason, then deploy again",
            code=str(answer.status),
        )

    def interrupt(self) -> None:
        """Makes a send blocked in another thread fail at once."""
        self._broken = True
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()
