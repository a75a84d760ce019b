"""The HTTPS front: keep-alive connections, one thread each; every request goes to the service its signature names."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from vmie_tui.simulators.aws import auth, regions
from vmie_tui.simulators.aws.errors import render
from vmie_tui.simulators.aws.wire import ApiError, Body, Disconnect, Reply, Request, Throttle
from vmie_tui.simulators.control import Fault, Gate, TlsFiles, admin
from vmie_tui.simulators.listener import Listener

LOG = logging.getLogger(__name__)
HANDSHAKE_SECONDS = 20.0
REGION_ACTIONS = ("deny", "disabled", "throttle", "timeout")
ACTIONS = ("error", "reset", "delay", "expired-token", *REGION_ACTIONS)


class Service(Protocol):
    """A simulated service: identifies the operation of a request and its handler."""

    def identify(self, request: Request) -> tuple[str, Callable[[], Reply]]: ...


class Tenant(Protocol):
    """One account of the simulator."""

    account: str
    disabled: set[str]

    def service(self, name: str) -> Service: ...

    def permit(self, request: Request) -> None: ...

    def limit(self, policy: Mapping[str, Any] | None) -> None: ...


class Desk(Protocol):
    """The parts of the simulator that the front uses."""

    clock: Any
    faults: Any
    stats: Any
    keys: auth.Keys
    s3_rate: float | None
    closing: threading.Event
    gate: Gate

    def account_of(self, request: Request) -> Tenant: ...

    def limit(self, policy: Mapping[str, Any] | None) -> None: ...

    def limit_puts(self, per_second: int | None) -> None: ...

    def seed_history(self, tasks: int, regions: int, account: str = "") -> list[str]: ...


class Server(Listener):
    """The listener whose connections are answered by the simulated services."""

    def __init__(self, port: int, desk: Desk, tls: TlsFiles | None) -> None:
        self.desk = desk
        super().__init__(port, tls, Front)

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOG.debug("a connection of the simulated AWS ended", exc_info=True)


class Front(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "AmazonS3", ""
    rbufsize = 1 << 16
    server: Server

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(HANDSHAKE_SECONDS)
            self.request.do_handshake()
            self.request.settimeout(None)
        super().setup()
        desk = self.server.desk
        self._throttle = Throttle(lambda: desk.s3_rate if self._limited else None, time.monotonic, self._pause)
        self._limited, self._expects = False, False

    def _pause(self, seconds: float) -> None:
        self.server.desk.closing.wait(seconds)

    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug(format, *args)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.desk.keys.now() if timestamp is None else timestamp)

    def handle_expect_100(self) -> bool:
        self._expects = True  # answered when the body is first read, so that a refusal can come before it
        return True

    def _continue(self) -> None:
        if self._expects:
            self._expects = False
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _serve(self) -> None:
        body = Body(self.rfile, self.headers, self._continue, self._throttle)  # type: ignore[arg-type]
        request = Request.parse(self.command, self.path, self.headers, body)  # type: ignore[arg-type]
        request.request_id = str(uuid.uuid4())
        self._limited = False
        try:
            reply = self._admin(request) if request.path.startswith("/_sim/") else self._answer(request)
            self._settle(body)
            self._send(reply, request)
        except (Disconnect, ConnectionError):
            self.close_connection = True
            self.server.cut(self.connection)
        finally:
            self._expects = False

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _serve  # noqa: N815

    def _settle(self, body: Body) -> None:
        """Leave nothing of the body on the connection, or close it afterwards."""
        if body.ended:
            return
        if self._expects and not body.started:
            self.close_connection = True
        else:
            body.drain()

    # what to answer

    def _admin(self, request: Request) -> Reply:
        refused = self.server.desk.gate.refuses(request.headers.items())
        if refused is None:
            try:
                status, answer = self._control(request)
            except (KeyError, TypeError, ValueError) as error:
                status, answer = 400, {"error": str(error)}
        else:
            status, answer = refused
        return Reply(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _control(self, request: Request) -> tuple[int, dict[str, Any]]:
        """(HTTP status, JSON object) of one control request. Raises KeyError, TypeError, ValueError."""
        desk, content = self.server.desk, request.body.read()
        given = json.loads(content or b"{}")
        if not isinstance(given, dict):
            raise TypeError("the body of a control is a JSON object")
        if (request.method, request.path) == ("POST", "/_sim/rate"):
            if "s3" in given:
                desk.s3_rate = float(given["s3"]) if given["s3"] else None
            if "ebs" in given:
                desk.limit_puts(int(given["ebs"]) if given["ebs"] else None)
            return 200, {"ok": True}
        if (request.method, request.path) == ("POST", "/_sim/history"):
            places = desk.seed_history(int(given["tasks"]), int(given.get("regions", 1)), given.get("account", ""))
            return 200, {"regions": places}
        if (request.method, request.path) == ("POST", "/_sim/policy"):
            desk.limit(given.get("policy"))
            return 200, {"ok": True}
        return admin(request.method, request.path, content, clock=desk.clock, faults=desk.faults, stats=desk.stats)

    def _answer(self, request: Request) -> Reply:
        desk = self.server.desk
        request.scope = auth.scope_of(request)
        request.service = request.scope.service if request.scope else "s3"
        self._limited = request.service == "s3"
        try:
            tenant = desk.account_of(request)
            operation, run = tenant.service(request.service).identify(request)
            request.operation = operation
            desk.stats.count(f"{request.service}:{operation}", request.region)
            desk.keys.check(request)
            regions.check_enabled(tenant.disabled, request)
            tenant.permit(request)
            self._make_trouble(request, tenant.account)
            return run()
        except ApiError as error:
            return render(request, error)
        except (Disconnect, ConnectionError):
            raise
        except Exception:
            LOG.exception("the simulated AWS failed in %s:%s", request.service, request.operation)
            failure = ApiError("InternalError", "We encountered an internal error. Please try again.", 500)
            return render(request, failure)

    def _make_trouble(self, request: Request, account: str) -> None:
        """Applies the injected faults: an error, a reset, a delay, an expired session."""
        desk = self.server.desk
        subject = request.path
        if desk.faults.take("Auth", f"{request.service}:{request.operation}", "expired-token"):
            raise auth.expired(request.service)
        if request.service not in {"s3", "ebs"}:
            subject += " " + request.body.read().decode("utf-8", "replace")
        fault: Fault | None = desk.faults.take(
            request.operation, subject, *ACTIONS, region=request.region, account=account
        )
        if fault is None:
            return
        if fault.action in REGION_ACTIONS:
            regions.trouble(request, fault, self.connection, desk.closing)
        if fault.action == "expired-token":
            raise auth.expired(request.service)
        if fault.action == "reset":
            raise Disconnect
        if fault.action == "delay":
            desk.faults.delay(fault, desk.closing)
            return
        code, text, status = _words(fault, request.service)
        raise ApiError(code, text, status)

    # sending

    def _send(self, reply: Reply, request: Request) -> None:
        length = len(reply.body) if reply.length is None else reply.length
        self.send_response(reply.status)
        headers = {"x-amzn-RequestId": request.request_id, "x-amz-request-id": request.request_id, **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.status not in {204, 304}:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD" or reply.status in {204, 304}:
            return
        if reply.stream is not None:
            for piece in reply.stream:
                self.wfile.write(piece)
                self._throttle.spend(len(piece))
        elif reply.body:
            self.wfile.write(reply.body)


def _words(fault: Fault, service: str) -> tuple[str, str, int]:
    """(code, message, status) of an injected error; the usual throttling text by default."""
    slow = regions.throttled(service, fault.message)
    if not fault.code or fault.code == slow.code:
        return slow.code, slow.message, slow.status
    return fault.code, fault.message or fault.code, fault.status
