"""Somebody between us and a server: takes our connections to its port, shows a certificate of his own, reads along."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from vmie_tui.simulators.control import TlsFiles

WRITE_SECONDS = 30.0


class Man:
    """Listens on ``port``; what he could read is in ``read``. ``connect``: he is a proxy that is asked by CONNECT."""

    def __init__(self, tls: TlsFiles, target: int, *, connect: bool = False) -> None:
        self.read, self.met, self._target, self._connect = bytearray(), 0, target, connect
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(tls.chain, tls.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closing = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.met += 1
            threading.Thread(target=self._between, args=(connection,), daemon=True).start()

    def _between(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            if self._connect:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += plain.recv(1)
                assert head.startswith(b"CONNECT ")
                plain.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
            with (
                self._context.wrap_socket(plain, server_side=True) as near,
                socket.create_connection(("127.0.0.1", self._target)) as raw,
                ours.wrap_socket(raw, server_hostname="localhost") as far,
            ):
                self._pass(near, far)

    def _pass(self, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        """Both directions in this one thread: a TLS connection that two threads read and write at once breaks."""
        other = {near: far, far: near}
        while True:
            for source in [each for each in other if each.pending()] or select.select(list(other), [], [])[0]:
                source.setblocking(False)
                try:
                    data = source.recv(65536)
                except ssl.SSLWantReadError:  # half a record, or a ticket for the next connection
                    continue
                finally:
                    source.settimeout(WRITE_SECONDS)
                if not data:
                    return
                if source is near:
                    self.read += data
                other[source].sendall(data)

    def close(self) -> None:
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def between(tls: TlsFiles, port: int, patch: pytest.MonkeyPatch) -> Iterator[Man]:
    """All connections of this process to ``port`` go to the man, his own excepted."""
    man = Man(tls, port)
    connect = socket.socket.connect

    def elsewhere(sock: socket.socket, address: Any) -> None:
        ours = threading.current_thread().name.endswith("(_between)")
        taken = isinstance(address, tuple) and address[1] == port and not ours
        connect(sock, (address[0], man.port, *address[2:]) if taken else address)

    with patch.context() as patched:
        patched.setattr(socket.socket, "connect", elsewhere)
        try:
            yield man
        finally:
            man.close()
