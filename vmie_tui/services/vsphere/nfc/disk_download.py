"""Downloads one exported disk straight from its ESXi host into the caller's buffers."""

from __future__ import annotations

import http.client
from collections.abc import Callable

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.proxy import Proxy
from vmie_tui.services.vsphere.tls import Trust, VerifiedConnection, unreachable

READ_SECONDS = 120.0  # the longest silence, not the length of the transfer (trap 6)


class DiskStream(Closing):
    """An open transfer; a context manager. ``content_length`` is None when the host does not tell (chunked).

    The end of the bytes is an end only together with the format's own end marker: feed a decoder that insists on it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        *,
        trust: Trust,
        cookie: str = "",
        proxy: Proxy | None = None,
        timeout: float = READ_SECONDS,
        explain: Callable[[], ServiceError | None] = lambda: None,
    ) -> None:
        """Ask for the file; ``explain`` is asked for the real cause when a read fails.

        Raises ServiceError TLS, NETWORK, LOGIN, NOT_FOUND or REMOTE.
        """
        self.host, self.port = host, port
        self.received = 0
        self.content_length: int | None = None
        self._broken = False
        self._explain = explain
        self._connection = VerifiedConnection(host, port, trust=trust, timeout=timeout, proxy=proxy)
        headers = {"Accept-Encoding": "identity", **({"Cookie": cookie} if cookie else {})}
        try:
            try:
                self._connection.connect()
                self._connection.request("GET", path, headers=headers)
                self._response = self._connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise self._failed(error) from error
            self._check_status()
        except ServiceError as error:
            self._connection.close()
            if error.kind is ErrorKind.NETWORK and error.problem.code != "IncompleteRead":
                raise _open_port(error, host, port) from error
            raise
        length = self._response.getheader("Content-Length")
        self.content_length = int(length) if length and length.isdigit() else None

    def _check_status(self) -> None:
        status = self._response.status
        if status == 200:
            return
        kind = {401: ErrorKind.LOGIN, 403: ErrorKind.PERMISSION, 404: ErrorKind.NOT_FOUND}.get(status, ErrorKind.REMOTE)
        raise ServiceError(
            kind,
            f"the host would not hand the disk out: HTTP {status} {self._response.reason}",
            subject=f"{self.host}:{self.port}",
            remedy="The export may have ended: start it again",
            retry_safe=True,
            code=str(status),
        )

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` as far as data comes; the number of bytes, 0 at the end of the file.

        Raises ServiceError NETWORK (retry_safe) when the connection broke, stalled or ended too early.
        """
        if not len(buffer):
            return 0
        try:
            count = self._response.readinto(buffer)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # ValueError, AttributeError: the response was closed under us by `close` in another thread.
            raise self._failed(error) from error
        self.received += count
        if self._broken or (count == 0 and (self.content_length or 0) > self.received):
            raise self._failed(None)
        return count

    def _failed(self, error: Exception | None) -> ServiceError:
        cause = self._explain()
        if cause is not None:
            return cause
        if isinstance(error, OSError) and not self._broken:
            return unreachable(error, self.host, self.port)
        of = f" of {self.content_length}" if self.content_length else ""
        return ServiceError(
            ErrorKind.NETWORK,
            f"the transfer broke off after {self.received}{of} bytes",
            subject=f"{self.host}:{self.port}",
            remedy="Try again",
            retry_safe=True,
            code="IncompleteRead",
        )

    def interrupt(self) -> None:
        """Makes a read blocked in another thread fail at once."""
        self._broken = True
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()


def _open_port(error: ServiceError, host: str, port: int) -> ServiceError:
    """Trap 2: the data comes from the ESXi host itself, which firewalls and DNS often forget."""
    problem = error.problem
    return ServiceError(
        problem.kind,
        problem.what,
        subject=problem.subject,
        remedy=f"Disks come straight from the host {host}: its name must resolve here and port {port} must be open",
        retry_safe=True,
        code=problem.code,
        detail=problem.detail,
    )
