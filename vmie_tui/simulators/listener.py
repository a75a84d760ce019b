"""A listening socket on loopback, with a thread for each connection, and ways to cut them."""

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

from vmie_tui.simulators.control import TlsFiles

log = logging.getLogger(__name__)


class Listener(ThreadingHTTPServer):
    """Accepts connections on loopback; each has its own thread, which does the TLS handshake too (None: plain HTTP)."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self, port: int, tls: TlsFiles | None, handler: Callable[[Any, Any, Self], BaseHTTPRequestHandler]
    ) -> None:
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context.load_cert_chain(tls.chain, tls.key)
        super().__init__(("127.0.0.1", port), handler)
        self._open: set[socket.socket] = set()
        self._cut: set[socket.socket] = set()
        self._guard = threading.Lock()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._guard:
            self._open.add(connection)
        return connection, address

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
        """Ends this connection with a TCP reset, as a broken network does, once its request is over."""
        with self._guard, contextlib.suppress(OSError):
            self._cut.add(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A refused handshake or a vanished client is logged for debugging only."""
        level = logging.DEBUG if isinstance(sys.exc_info()[1], OSError) else logging.ERROR
        log.log(level, "connection from %s ended", client_address, exc_info=True)

    def close_all(self) -> None:
        """Cuts every open connection."""
        with self._guard:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
