"""An HTTP proxy on the way to vCenter and its hosts: ``http://user:password@proxy.corp:3128``.

The proxy is spoken to in plain HTTP; what goes through it is TLS from end to end (CONNECT), and verified as without it.
"""

from __future__ import annotations

import base64
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote

from vmie_tui import known_secrets

MOST_HEAD = 64 << 10
FORM = 'http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with @ : / # ? and % of the password as "%40" and so on'
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#\[\]@]+):(\d{1,5})")

# In an address these end the login for one reader or another: botocore would ask a host that is half a password.
_ENDS_LOGIN = re.compile(r"[/?#\\\[\]\s]")
ENCODE = "encode @ # / ? in the proxy's password as %40 %23 %2F %3F, and a backslash as %5C"


def check_address(address: str) -> None:
    """Raise ValueError, whose text tells nothing of ``address``, when nobody can tell the login in a proxy's address
    (as in HTTPS_PROXY) from the host: other programs cut such an address elsewhere, and show what is left.
    """
    login, at, place = address.strip().rpartition("://")[2].rpartition("@")
    if at and _ENDS_LOGIN.search(login):
        raise ValueError("its user and password are not encoded")
    if at and any(mark in unquote(login) for mark in "\r\n\0"):
        raise ValueError("its user and password hold line ends")
    if not unquote(login).isascii():
        raise ValueError("its user and password hold letters that are not ASCII, which HTTP does not carry here")
    if at and not place.strip("/"):
        raise ValueError("it names no host")


class TunnelError(OSError):
    """The proxy answered, and opened no tunnel; ``status`` is its HTTP status, 0 for an answer that is none."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, and who asks; user and password are empty when it wants none."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """The proxy of a setting. Its password is a known secret from then on, alone and with the user.

        Raises ValueError, whose text tells the right form and nothing of ``text``.
        """
        scheme, mark, rest = text.strip().rpartition("://")
        login, _, place = rest.rstrip("/").rpartition("@")  # a password may hold an @ that is not encoded
        user, _, password = login.partition(":")
        if password:  # a user alone is no secret, and may be a word that stands everywhere
            known_secrets.remember(login, password, unquote(password), unquote(login))
        found = _PLACE.fullmatch(place)
        if (mark and scheme.lower() != "http") or found is None or not 0 < int(found[2]) < 1 << 16:
            raise ValueError(f"it must be {FORM}")
        user, password = unquote(user), unquote(password)
        proxy = cls(found[1].strip("[]"), int(found[2]), user, password)
        if password:
            known_secrets.remember(proxy.authorization.removeprefix("Basic "))
        return proxy

    @property
    def authorization(self) -> str:
        """The value of Proxy-Authorization; "" without a user."""
        if not self.user:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def connect(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """A socket that leads to ``host`` through the proxy.

        Raises OSError when the proxy is not reached, TunnelError when it refuses.
        """
        sock = socket.create_connection((self.host, self.port), timeout=timeout)
        try:
            place = f"{f'[{host}]' if ':' in host else host}:{port}"
            lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
            if self.authorization:
                lines.append(f"Proxy-Authorization: {self.authorization}")
            sock.sendall("\r\n".join([*lines, "", ""]).encode())
            _expect_tunnel(sock)
        except BaseException:
            sock.close()
            raise
        return sock


def _expect_tunnel(sock: socket.socket) -> None:
    status, reason = _answer(sock)
    if status // 100 != 2:
        raise TunnelError(status, reason)


def _answer(sock: socket.socket) -> tuple[int, str]:
    """Status and reason; byte by byte, for what follows the head is the other end's."""
    head = bytearray()
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        piece = sock.recv(1)
        if not piece or len(head) > MOST_HEAD:
            raise TunnelError(0, "the answer is not one of an HTTP proxy")
        head += piece
    words = head.split(b"\n", 1)[0].decode("latin-1").strip().split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise TunnelError(0, "the answer is not one of an HTTP proxy")
    return int(words[1]), words[2] if len(words) > 2 else ""


def open_socket(host: str, port: int, timeout: float | None, proxy: Proxy | None) -> socket.socket:
    """A TCP connection to ``host``, through ``proxy`` when there is one. Raises OSError, TunnelError."""
    if proxy is not None:
        return proxy.connect(host, port, timeout)
    return socket.create_connection((host, port), timeout=timeout)
