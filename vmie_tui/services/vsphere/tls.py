"""Verified TLS only: by certificate authority and name, or by the thumbprint of the one certificate expected.

A pin is compared on the connected socket before a byte of the request, and so of a password or cookie, is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.private_files import trusted_file
from vmie_tui.proxy import Proxy, TunnelError, open_socket
from vmie_tui.services.vsphere.cookies import Cookies

# Where distributions keep the trusted authorities, should OpenSSL's own compiled-in place be empty.
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
# What is wrong, what to do, and the error's code.
_UNTRUSTED = (
    "the server's certificate is not signed by a trusted authority",
    "Set ca_file to its authority, or to that of the proxy that re-signs it",
    "CertificateVerifyFailed",
)
_OTHER_NAME = (
    "the server's certificate is for another name",
    "Connect by the name in the certificate",
    "CertificateNameMismatch",
)
_EXPIRED = ("the server's certificate has expired", "Have it renewed", "CertificateExpired")
_REFUSED = ("the server's certificate was refused", "Have it replaced", "CertificateVerifyFailed")
_VERIFY = {  # OpenSSL's X509_V_ERR_ codes
    10: _EXPIRED,
    18: _UNTRUSTED,
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
DIGESTS = {40: hashlib.sha1, 64: hashlib.sha256}  # hex digits of a thumbprint: vSphere shows SHA-1, browsers both


@dataclass(frozen=True, slots=True)
class Trust:
    """How a server proves who it is: the certificate of this thumbprint, else an authority (a file, the system's)."""

    ca_file: Path | None = None
    thumbprint: str | None = None

    def __post_init__(self) -> None:
        if self.thumbprint is not None:
            object.__setattr__(self, "thumbprint", normalise(self.thumbprint))


def normalise(thumbprint: str) -> str:
    """A SHA-1 or SHA-256 thumbprint as lower-case hex digits; ServiceError INVALID for anything else."""
    digits = thumbprint.strip().replace(":", "").replace(" ", "").lower()
    if len(digits) not in DIGESTS or not set(digits) <= set("0123456789abcdef"):
        raise ServiceError(
            ErrorKind.INVALID,
            "the certificate thumbprint is not a SHA-1 or SHA-256 in hex",
            subject=thumbprint,
            remedy="Give 40 or 64 hex digits, with or without colons",
        )
    return digits


def thumbprint_of(certificate: bytes, digits: int = 64) -> str:
    """The thumbprint of a DER certificate as people read it: upper-case pairs joined by colons."""
    text = DIGESTS[digits](certificate).hexdigest().upper()
    return ":".join(text[i : i + 2] for i in range(0, len(text), 2))


def make_context(trust: Trust) -> ssl.SSLContext:
    """A TLS client context for ``trust``. With a thumbprint, `VerifiedConnection` checks the peer instead.

    Environment variables such as SSL_CERT_FILE change nothing: only the settings and the system decide who is trusted.
    Raises ServiceError LOCAL when the CA file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.thumbprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if trust.ca_file is None:
        _load_system(context)
        return context
    trusted_file(trust.ca_file)
    try:
        context.load_verify_locations(cafile=trust.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it holds no PEM certificate"
        raise ServiceError(
            ErrorKind.LOCAL,
            f"the CA file cannot be used: {reason}",
            subject=str(trust.ca_file),
            remedy="Point ca_file at the PEM file of the authority that signed vCenter's certificate",
        ) from error
    return context


def _load_system(context: ssl.SSLContext) -> None:
    if sys.platform in ("win32", "darwin"):
        context.load_default_certs()
        return
    built_in = ssl.get_default_verify_paths()
    files = [path for path in (built_in.openssl_cafile, *SYSTEM_BUNDLES) if Path(path).is_file()]
    folder = built_in.openssl_capath if Path(built_in.openssl_capath).is_dir() else None
    if files or folder:
        context.load_verify_locations(cafile=files[0] if files else None, capath=folder)


class VerifiedConnection(http.client.HTTPSConnection):
    """An HTTPS connection that proves its peer while connecting; raises ServiceError TLS or NETWORK.

    ``connect_timeout`` covers reaching and greeting the server, ``timeout`` each later read or write (seconds).
    ``cookies``: those of a vCenter session; every answer's are kept there, and a web page is no answer of a vCenter.
    """

    def __init__(
        self,
        host: str,
        port: int = 443,
        *,
        trust: Trust,
        timeout: float = 60.0,
        connect_timeout: float = 20.0,
        context: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        cookies: Cookies | None = None,
    ) -> None:
        super().__init__(host.strip("[]"), port, timeout=connect_timeout, context=context or make_context(trust))
        self._trust, self._read_timeout, self._proxy, self._cookies = trust, timeout, proxy, cookies
        self._open_socket: socket.socket | None = None  # `sock` is forgotten at Connection: close
        if proxy is not None:  # the tunnel is a socket like any other: TLS, names and errors stay those of the host
            self._create_connection = lambda place, timeout, *_: _through(proxy, place[0], place[1], timeout)

    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise self._untrusted(error) from error
        except OSError as error:  # includes ssl.SSLError, time-outs and names that do not resolve
            raise unreachable(error, self.host, self.port) from error
        assert isinstance(self.sock, ssl.SSLSocket)
        self._open_socket = self.sock
        try:
            self._check_pin(self.sock)
        except ServiceError:
            self.close()
            raise
        self.sock.settimeout(self._read_timeout)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def interrupt(self) -> None:
        """Makes a blocked operation in another thread fail at once."""
        if self._open_socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that would let the reader take the ciphertext that is still queued for data.
                socket.socket.shutdown(self._open_socket, socket.SHUT_RDWR)

    def getresponse(self) -> http.client.HTTPResponse:
        answer = super().getresponse()
        if self._cookies is not None:
            self._cookies.take(answer.headers.get_all("Set-Cookie") or ())
            del answer.headers["Set-Cookie"]
            if answer.status == 200 and answer.headers.get_content_type() == "text/html":
                self.close()
                raise NotVCenterError("it answered with a web page")
        return answer

    def _check_pin(self, sock: ssl.SSLSocket) -> None:
        wanted = self._trust.thumbprint
        if wanted is None:
            return
        certificate = sock.getpeercert(binary_form=True) or b""
        found = DIGESTS[len(wanted)](certificate).hexdigest()
        if not hmac.compare_digest(found, wanted):
            raise ServiceError(
                ErrorKind.TLS,
                f"the server's certificate is not the pinned one: its thumbprint is "
                f"{thumbprint_of(certificate, len(wanted))}",
                subject=f"{self.host}:{self.port}",
                remedy="If the certificate was renewed on purpose, put the new thumbprint in the settings; "
                "otherwise something stands between you and the server",
                code="ThumbprintMismatch",
            )

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> ServiceError:
        certificate = _peer_certificate(self.host, self.port, self.timeout, self._proxy)
        shown = f" Its SHA-256 thumbprint is {thumbprint_of(certificate)}." if certificate else ""
        reason = error.verify_message or "not trusted"
        what, advice, code = _VERIFY.get(error.verify_code, _REFUSED)
        return ServiceError(
            ErrorKind.TLS,
            what,
            subject=f"{self.host}:{self.port}",
            remedy=f"{advice}, or pin the certificate: compare its thumbprint with the one shown on the server and set "
            f"'thumbprint'.{shown}",
            code=code,
            detail=reason,
        )


class NotVCenterError(http.client.HTTPException):
    """The server is not a vCenter."""


def _through(proxy: Proxy, host: str, port: int, timeout: float | None) -> socket.socket:
    """A tunnel. Raises ServiceError NETWORK or LOGIN about the proxy, so that it is not taken for the host."""
    try:
        return proxy.connect(host, port, timeout)
    except OSError as error:
        raise proxy_trouble(error, proxy, host, port) from error


def proxy_trouble(error: OSError, proxy: Proxy, host: str, port: int) -> ServiceError:
    """The error text for a proxy that is unreachable or refuses the tunnel."""
    if not isinstance(error, TunnelError):
        return unreachable(error, proxy.host, proxy.port, remedy="Check the proxy set for vCenter, and its port")
    status = error.status
    if status == 407:
        kind, what, remedy = (
            ErrorKind.LOGIN,
            "the proxy wants a user and a password, or refused those it got",
            "Write them as http://USER:PASSWORD@HOST:PORT in the proxy setting of vCenter, encoded as in a URL",
        )
    elif status in (403, 405):
        kind, what, remedy = (
            ErrorKind.REFUSED,
            f"the proxy does not let us through to {host}:{port}",
            f"Have CONNECT to {host}, port {port}, allowed on the proxy",
        )
    elif status:
        kind, what, remedy = (
            ErrorKind.NETWORK,
            f"the proxy reaches nobody at {host}:{port}",
            f"Check that the proxy can resolve {host} and reach its port {port}",
        )
    else:
        kind, what, remedy = (ErrorKind.NETWORK, "no HTTP proxy answers there", "Check the proxy set for vCenter")
    retry_safe = kind is ErrorKind.NETWORK
    return ServiceError(
        kind, what, subject=f"proxy {proxy}", remedy=remedy, retry_safe=retry_safe, code="Proxy", detail=str(error)
    )


def shown_thumbprint(host: str, port: int, timeout: float = 20.0, proxy: Proxy | None = None) -> str:
    """The SHA-256 thumbprint of the certificate the server shows, trusted or not, for a person to compare.

    Raises ServiceError NETWORK when it shows none.
    """
    certificate = _peer_certificate(host, port, timeout, proxy)
    if not certificate:
        raise ServiceError(
            ErrorKind.NETWORK,
            "the server shows no certificate",
            subject=f"{host}:{port}",
            remedy=f"Check the name, and that port {port} is open from here",
            retry_safe=True,
        )
    return thumbprint_of(certificate)


def _peer_certificate(host: str, port: int, timeout: Any, proxy: Proxy | None = None) -> bytes:
    """The certificate the server shows, only to name it in an error: nothing is sent, nothing is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            open_socket(host.strip("[]"), port, timeout, proxy) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")) as sock,
        ):
            return sock.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


def unreachable(error: OSError, host: str, port: int, *, remedy: str = "") -> ServiceError:
    """A ServiceError NETWORK (or TLS for a failed handshake) in words for an error of a socket."""
    kind, code = ErrorKind.NETWORK, type(error).__name__
    detail = error.strerror or str(error)
    if isinstance(error, socket.gaierror):
        what, advice = f"the name {host} cannot be resolved", "Check the name and this machine's DNS"
    elif isinstance(error, TimeoutError):
        what = "the server did not answer in time"
        advice = f"Check that port {port} is open from here to {host}"
    elif isinstance(error, ConnectionRefusedError):
        what = "the connection was refused"
        advice = f"Check that the service is up and that {port} is its port"
    elif isinstance(error, ssl.SSLError) and not _broken_off(error):
        kind = ErrorKind.TLS
        what, detail = "no TLS connection could be agreed", _reason(error) or str(error)
        advice = _tls_advice(_reason(error), port)
    elif isinstance(error, (ConnectionResetError, BrokenPipeError, ssl.SSLError)):
        what, advice = "the server broke the connection off", "Try again; if it stays, look at the server's log"
    else:
        what, advice = "the server cannot be reached", f"Check the network between here and {host}, port {port}"
    return ServiceError(
        kind,
        what,
        subject=f"{host}:{port}",
        remedy=remedy or advice,
        retry_safe=kind is ErrorKind.NETWORK,
        code=code,
        detail=detail,
    )


_TOO_OLD = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "VERSION_TOO_LOW")
_TOO_WEAK = ("HANDSHAKE_FAILURE", "CIPHER", "INSUFFICIENT_SECURITY", "TOO_SMALL", "TOO_WEAK", "SIGNATURE", "LEGACY")
_CLIENT_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "PEER_DID_NOT_RETURN")


def _broken_off(error: ssl.SSLError) -> bool:
    """Whether the peer dropped the connection during the handshake rather than refusing it."""
    ended = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError))
    return ended or "UNEXPECTED_EOF" in _reason(error)


def _reason(error: ssl.SSLError) -> str:
    return getattr(error, "reason", "") or ""  # unset when the error did not come from OpenSSL


def _tls_advice(reason: str, port: int) -> str:
    """The remedy for OpenSSL's ``reason`` for ending a handshake."""
    if any(part in reason for part in _CLIENT_CERTIFICATE):
        return (
            "The server demands a client certificate, which vCenter and ESXi never do: something stands between. Have "
            "the way to vCenter opened without it"
        )
    if any(part in reason for part in _TOO_OLD):
        return "The server speaks no TLS 1.2 or later: have it updated, or its older protocols replaced"
    if any(part in reason for part in _TOO_WEAK):
        return (
            "The server offers no cipher, key or signature that still counts as safe, or wants a client certificate: "
            "have its TLS settings brought up to date"
        )
    return f"Check that port {port} speaks HTTPS with TLS 1.2 or later"
