"""A TLS socket on loopback, with a thread for each connection, and ways to cut them."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

log = logging.getLogger(__name__)


class Listener(ThreadingHTTPServer):
    """Accepts on loopback; each connection has its thread, in which TLS is agreed too."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self, port: int, context: ssl.SSLContext, handler: Callable[[Any, Any, Self], BaseHTTPRequestHandler]
    ) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._context = context
        self._open: set[socket.socket] = set()
        self._cut: set[socket.socket] = set()
        self._guard = threading.Lock()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = self.socket.accept()
        wrapped = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._guard:
            self._open.add(wrapped)
        return wrapped, address

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
            cut = request in self._cut
            self._cut.discard(request)
        if cut:
            self.close_request(request)  # without the polite end first, so that the reset is what the client sees
        else:
            super().shutdown_request(request)

    def cut(self, connection: socket.socket) -> None:
        """Let this connection end with a TCP reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self._guard:
            self._cut.add(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake refused or a client gone is no news."""
        level = logging.DEBUG if isinstance(sys.exc_info()[1], OSError) else logging.ERROR
        log.log(level, "connection from %s ended", client_address, exc_info=True)

    def close_all(self) -> None:
        """Cut every connection."""
        with self._guard:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
