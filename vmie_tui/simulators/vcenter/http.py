"""The HTTPS front: SOAP at /sdk, disk data at /nfc, datastore files at /folder, controls at /_sim."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, unquote_plus, urlsplit

from pyVmomi import vim, vmodl

from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.control import Fault, Gate, TlsFiles
from vmie_tui.simulators.fleet.content import LARGEST
from vmie_tui.simulators.listener import Listener
from vmie_tui.simulators.vcenter.calls import Session
from vmie_tui.simulators.vcenter.dispatch import Dispatcher, DroppedError
from vmie_tui.simulators.vcenter.folder import Folders, Found, RefusedError, byte_range
from vmie_tui.simulators.vcenter.imports import ImportLease, Receiver, RejectedError
from vmie_tui.simulators.vcenter.leases import Leases
from vmie_tui.simulators.vcenter.machine import Device, Lease
from vmie_tui.simulators.vcenter.nfc import PIECE, Pace, Stream, StreamEndedError
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.sessions import Sessions, TooManySessionsError
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.values import VERSION_ID, known_versions

log = logging.getLogger(__name__)

XML = "text/xml; charset=utf-8"
COOKIE = re.compile(r'vmware_soap_session="?([^";,\s]+)')
TICKET = re.compile(r'vmware_cgi_ticket="?([^";,\s]+)')
LARGEST_REQUEST = 64 << 20
STREAM_VMDK = "application/x-vnd.vmware-streamVmdk"


class Parts(Protocol):
    """The parts of the simulator that a handler uses."""

    center: Center
    dispatcher: Dispatcher
    sessions: Sessions
    leases: Leases
    folders: Folders
    stopped: threading.Event
    gate: Gate

    def control(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]: ...


def versions() -> bytes:
    """vimServiceVersions.xml."""
    prior = "".join(f"<version>{text}</version>" for text in known_versions())
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<namespaces version="1.0"><namespace><name>urn:vim25</name>'
        f"<version>{VERSION_ID}</version><priorVersions>{prior}</priorVersions></namespace></namespaces>\n"
    ).encode()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "VMware"
    sys_version = ""
    wbufsize = 64 << 10
    timeout = None
    server: Server

    def setup(self) -> None:
        self.request.settimeout(10.0)
        self.request.do_handshake()
        self.request.settimeout(None)
        super().setup()

    @property
    def parts(self) -> Parts:
        return self.server.parts

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def _reply(self, status: int, body: bytes = b"", kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _body(self) -> bytes | None:
        """The request's body, chunked or not; None after answering that it is too large or cannot be read."""
        if self._is_chunked():
            return self._chunked_body()
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_REQUEST:
            self.close_connection = True
            self._reply(413 if length.isdigit() else 411)
            return None
        return self.rfile.read(int(length))

    def _is_chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"

    def _chunked_body(self) -> bytes | None:
        body = bytearray()
        try:
            for piece in self._pieces(lambda: PIECE):
                body += piece
                if len(body) > LARGEST_REQUEST:
                    self.close_connection = True
                    self._reply(413)
                    return None
        except ValueError:
            self.close_connection = True
            self._reply(400, b"Bad Request")
            return None
        return bytes(body)

    def _cookie(self) -> str | None:
        found = COOKIE.search(self.headers.get("Cookie") or "")
        return None if found is None else found[1]

    def _drop(self) -> None:
        self.close_connection = True
        self.server.cut(self.connection)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        if self.path.startswith("/nfc/"):
            self._receive(urlsplit(self.path).path)
            return
        body = self._body()
        if body is None:
            return
        path = urlsplit(self.path).path
        if path.startswith("/_sim/"):
            self._control(body)
        elif path.rstrip("/") in ("/sdk", "/sdk/vimService"):
            self._soap(body)
        else:
            self._reply(404)

    def do_DELETE(self) -> None:
        body = self._body()
        if body is not None:
            self._control(body)

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path == "/sdk/vimServiceVersions.xml":
            self._reply(200, versions(), XML)
        elif place.path.startswith("/nfc/"):
            self._nfc(place.path)
        elif place.path.startswith("/folder/"):
            self._folder(place)
        elif place.path.startswith("/_sim/"):
            self._control(b"")
        else:
            self._reply(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _control(self, body: bytes) -> None:
        place = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(place.query).items()}
        refused = self.parts.gate.refuses(self.headers.items())
        status, answer = refused or self.parts.control(self.command, place.path, query, body)
        self._reply(status, json.dumps(answer).encode(), "application/json")

    def _soap(self, body: bytes) -> None:
        address, agent = self.client_address[0], self.headers.get("User-Agent") or ""
        try:
            answer = self.parts.dispatcher.answer(body, self._cookie(), address, agent)
        except DroppedError:
            self._drop()
            return
        except TooManySessionsError as error:
            self._reply(503, str(error).encode())
            return
        headers = {}
        if answer.cookie:
            headers["Set_Cookie"] = set_cookie(answer.cookie)
        self._reply(answer.status, answer.body, XML, **headers)

    # ---- disk data

    def _leased(self, path: str, *, exports: bool) -> tuple[Lease, Device] | None:
        """Resolves a data URL; None after responding 404."""
        self.parts.center.stats.count(f"nfc:{self.command}")
        _, _, ticket, file = [*path.split("/", 3), "", ""][:4]
        lease = self.parts.leases.find(ticket)
        device = None if lease is None else lease.device(file)
        if lease is None or device is None or lease.state != "ready" or lease.exports != exports:
            self.close_connection = True
            self._reply(404, b"Not Found")
            return None
        return lease, device

    def _nfc(self, path: str) -> None:
        parts = self.parts
        found = self._leased(path, exports=True)
        if found is None:
            return
        lease, device = found
        subject = f"{lease.subject} {device.key} {device.file}"
        fault = parts.center.faults.take("nfc:GET", subject) if self.command == "GET" else None
        if fault is not None and fault.action == "error":
            self._reply(fault.status, fault.message.encode())
            return
        source = device.open()
        try:
            self._stream(lease, device, source, fault)
        finally:
            if source is not None:
                source.close()

    def _stream(self, lease: Lease, device: Device, source: RawFile | None, fault: Fault | None) -> None:
        parts = self.parts
        stream = Stream(parts, lease, device, source, self.wfile.write)
        self.send_response(200)
        self.send_header("Content-Type", STREAM_VMDK)
        if source is None or parts.center.options.nfc_content_length:
            stream.chunked = False
            self.send_header("Content-Length", str(stream.length()))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            stream.run(fault)
            self.wfile.flush()
        except StreamEndedError as ended:
            self.close_connection = True
            if ended.reset:
                self.wfile.flush()
                self._drop()
        except OSError:  # the client went away
            self.close_connection = True

    def _receive(self, path: str) -> None:
        """One disk of an import, as streamOptimized VMDK; whatever is wrong with it ends the lease in an error."""
        parts = self.parts
        found = self._leased(path, exports=False)
        if found is None:
            return
        lease, device = found
        assert isinstance(lease, ImportLease)
        assert device.disk is not None
        self.close_connection = True  # unless all was read
        if self.headers.get("Content-Type") != STREAM_VMDK:
            self._reply(415, b"Unsupported Media Type")
            return
        fault = parts.center.faults.take("nfc:POST", f"{lease.subject} {device.key}")
        if fault is None and parts.center.options.nfc_no_chunks and "Transfer-Encoding" in self.headers:
            fault = Fault("nfc:POST", status=500, message="Internal Error")
        if fault is not None and fault.action == "error":
            for _ in self._pieces(lambda: LARGEST_REQUEST):  # else the client may not see the answer
                pass
            self._reply(fault.status, fault.message.encode())
            return
        free = int(device.disk.datastore.value("summary").freeSpace)
        with Receiver(parts.leases, lease, device, free) as receiver:
            try:
                self._take_all(receiver, lease, fault)
            except RejectedError as error:
                receiver.reject(error)
                self._reply(500, str(error).encode())
            except StreamEndedError as ended:
                if ended.reset:
                    self._drop()
            except (OSError, ValueError):  # the client went away, or speaks no HTTP: it may send the disk once more
                log.debug("an upload of %s broke off", device.key)
            else:
                self.close_connection = False
                self._reply(201)

    def _take_all(self, receiver: Receiver, lease: Lease, fault: Fault | None) -> None:
        pace = Pace(self.parts.center, self.parts.stopped)
        for piece in self._pieces(pace.share):
            receiver.take(piece)
            pace.spend(len(piece))
            if fault is not None and receiver.total > fault.after:
                self._trouble(fault, lease)
                fault = None
            if self.parts.stopped.is_set():
                raise StreamEndedError(reset=False)
        receiver.finish()

    def _trouble(self, fault: Fault, lease: Lease) -> None:
        """Make the trouble asked for in the middle of an upload; raises StreamEndedError."""
        if fault.action == "delay":
            self.parts.stopped.wait(fault.seconds)
            return
        if fault.action == "lose-lease":
            text = fault.message or "The host lost the connection to the datastore."
            self.parts.leases.fail(lease, vmodl.fault.SystemError(reason=fault.code or "lost", msg=text))
        raise StreamEndedError(reset=True)

    def _pieces(self, share: Callable[[], int]) -> Iterator[bytes]:
        """The request's body as it arrives, chunked or of a given length; raises ValueError when it ends early."""
        if not self._is_chunked():
            yield from self._exactly(int(self.headers.get("Content-Length", "")), share)
            return
        while length := int(self.rfile.readline(64).partition(b";")[0], 16):
            yield from self._exactly(length, share)
            if self.rfile.readline(4) != b"\r\n":
                raise ValueError("a chunk is longer than it said")
        while self.rfile.readline(1024).strip():
            pass

    def _exactly(self, length: int, share: Callable[[], int]) -> Iterator[bytes]:
        while length:
            piece = self.rfile.read(min(length, share()))
            if not piece:
                raise ValueError("the body ends early")
            length -= len(piece)
            yield piece

    # ---- datastore files

    def _folder(self, place: SplitResult) -> None:
        parts, path = self.parts, unquote(place.path[8:])
        parts.center.stats.count(f"folder:{self.command}")
        session, host, headers = self._reader(place)
        if session is None and host is None:
            self._reply(401, b"Unauthorized", WWW_Authenticate='Basic realm="VMware HTTP server"')
            return
        fault = parts.center.faults.take(f"folder:{self.command}", path)
        match None if fault is None else fault.action:
            case "delay":
                parts.stopped.wait(fault.seconds if fault else 0)
            case "reset":
                self._drop()
                return
            case "error":
                self._reply(fault.status if fault else 500)
                return
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        if host is None:  # vCenter decodes both values once more (Broadcom KB 386368); a host, it is assumed, does not
            query = {name: unquote_plus(value) for name, value in query.items()}
        try:
            found = parts.folders.find(path, query.get("dcPath", ""), query.get("dsName", ""), host)
        except RefusedError as refused:
            self._reply(refused.status, refused.text.encode(), **headers)
            return
        with found.file:
            most = fault.after if fault is not None and fault.action == "truncate" else None
            self._send_file(found, most, headers)

    def _reader(self, place: SplitResult) -> tuple[Session | None, Managed | None, dict[str, str]]:
        """Who asks for a file: the session of the cookie or of Basic authentication (which answers with a cookie), or
        the holder of a service ticket, with the host that it is for."""
        parts = self.parts
        with parts.center.registry.lock:
            if (ticket := TICKET.search(self.headers.get("Cookie") or "")) is not None:
                return None, parts.sessions.redeem(ticket[1], self.command, f"{place.path}?{place.query}"), {}
            session = parts.sessions.find(self._cookie())
            if session is not None or self._cookie() is not None:
                return session, None, {}
            user, password = basic(self.headers.get("Authorization") or "")
            agent = self.headers.get("User-Agent") or ""
            try:
                session = parts.sessions.open(user, password, self.client_address[0], agent)
            except (vim.fault.InvalidLogin, TooManySessionsError):
                return None, None, {}
            return session, None, {"Set_Cookie": set_cookie(session.cookie)}

    def _send_file(self, found: Found, most: int | None, extra: dict[str, str]) -> None:
        """Answer with a file, or the range asked for; the answer breaks off after ``most`` bytes."""
        changed = _changed_at(found) if self.parts.center.options.folder_dates else ""
        same = self.headers.get("If-Range") in (None, changed)
        try:
            part = byte_range(self.headers.get("Range"), found.size) if same else None
        except RefusedError as refused:
            self._reply(refused.status, refused.text.encode(), Content_Range=f"bytes */{found.size}")
            return
        first, end = part or (0, found.size)
        self.send_response(206 if part else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - first))
        self.send_header("Accept-Ranges", "bytes")
        for name, value in extra.items():
            self.send_header(name.replace("_", "-"), value)
        if changed:
            self.send_header("Last-Modified", changed)
        if part:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{found.size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        pace = Pace(self.parts.center, self.parts.stopped)
        found.file.seek(first)
        if most is not None:
            self.close_connection, end = True, min(end, first + most)
        try:
            while first < end and not self.parts.stopped.is_set():
                piece = found.file.read(min(pace.share(), end - first))
                if not piece and first >= LARGEST:  # of such a disk the file holds the beginning only
                    piece = bytes(min(pace.share(), end - first))
                if not piece:  # the file is shorter than its disk: the client sees a broken answer
                    self.close_connection = True
                    return
                pace.spend(len(piece))
                self.wfile.write(piece)
                first += len(piece)
        except OSError:
            self.close_connection = True


def set_cookie(session: str) -> str:
    """The header's value that hands a session out."""
    return f'vmware_soap_session="{session}"; Path=/; HttpOnly; Secure; '


def basic(header: str) -> tuple[str, str]:
    """(user, password) of an Authorization header; both empty when it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password


def _changed_at(found: Found) -> str:
    """When a file was last written, as HTTP has it; "" for what is no file."""
    try:
        return formatdate(os.fstat(found.file.fileno()).st_mtime, usegmt=True)
    except OSError:
        return ""


class Server(Listener):
    """The listener whose connections speak all of this."""

    def __init__(self, port: int, tls: TlsFiles, parts: Parts) -> None:
        super().__init__(port, tls, Handler)
        self.parts = parts
