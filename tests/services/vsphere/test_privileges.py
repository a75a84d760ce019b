"""vCenters behind balancers and proxies, and passwords that are refused: what is sent, and how often."""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests.kits.vcenter_session import log_in, named, settings_for
from vmie_tui import known_secrets
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.proxy import Proxy
from vmie_tui.services.vsphere import privileges
from vmie_tui.services.vsphere.cookies import Cookies
from vmie_tui.services.vsphere.datastore.range_reader import open_datastore_disk
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease
from vmie_tui.services.vsphere.refused_logins import FILE, REFUSED, RefusedLogins
from vmie_tui.services.vsphere.session import connect
from vmie_tui.services.vsphere.tls import shown_thumbprint, unreachable
from vmie_tui.settings import VCenterSettings
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture(autouse=True)
def quiet(vcenter: VCenterSimulator) -> Iterator[None]:
    vcenter.faults.clear()
    vcenter.stats.reset()
    REFUSED.reset()
    yield
    REFUSED.reset()


def logins(vcenter: VCenterSimulator) -> int:
    return vcenter.stats.snapshot().get("Login", 0)


# -- cookies


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ([['vmware_soap_session="a1"; Path=/; HttpOnly; Secure; ']], 'vmware_soap_session="a1"'),
        ([["SERVERID=vc01; path=/", 's="1"; Path=/']], 'SERVERID=vc01; s="1"'),
        ([["s=1; Path=/", "B~P=x=y/z==; Expires=Wed, 21 Oct 2099 07:28:00 GMT"]], "s=1; B~P=x=y/z=="),
        ([["s=1"], ["s=2"], []], "s=2"),
        ([["a=1", "b=2"], ["a=0; Max-Age=0"]], "b=2"),
        ([["a=1", "b=2"], ["a=0; Max-Age=-1"]], "b=2"),
        ([["a=1", "b=2"], ["b=; path=/"], ['a=""']], ""),
        ([["a=1"], ["a=2; Expires=Thu, 01-Jan-1970 00:00:00 GMT"]], ""),
        ([["a=1; Max-Age=x", "nonsense", "=1", "b=2; Expires=soon"]], "a=1; b=2"),
    ],
)
def test_cookies_are_kept_by_name(answers: list[list[str]], sent: str) -> None:
    cookies = Cookies()
    for headers in answers:
        cookies.take(headers)
    assert str(cookies) == sent


def test_a_new_session_keeps_the_balancers_cookie() -> None:
    cookies = Cookies()
    cookies.take(["SERVERID=vc01", "vmware_soap_session=1"])
    cookies.forget_session()
    assert str(cookies) == "SERVERID=vc01"


class Balancer(http.server.ThreadingHTTPServer):
    """A TLS proxy before the simulated vCenter that adds cookies of its own, or answers by itself."""

    daemon_threads = True

    def __init__(self, target: VCenterSimulator, tls: TlsFiles, where: str) -> None:
        super().__init__(("127.0.0.1", 0), Before)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.chain, tls.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.target, self.where = target, where
        self.seen: list[tuple[str, str]] = []  # path, Cookie header
        self.trusting = ssl.create_default_context(cafile=str(tls.ca))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Before(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Balancer

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        own = self.server.where
        if own == "portal" or own.startswith(("3", "5")):
            status = 200 if own == "portal" else int(own)
            return self._answer(status, [("Content-Type", "text/html")], b"<!DOCTYPE html><p>sign in<br></p>")
        self.server.seen.append((self.path, self.headers.get("Cookie") or ""))
        link = http.client.HTTPSConnection("localhost", self.server.target.port, context=self.server.trusting)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        link.request(self.command, self.path, body, headers)
        answer = link.getresponse()
        dropped = ("transfer-encoding", "content-length", "connection")
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        mine = [("Set-Cookie", "SERVERID=vc01; path=/"), ("Set-Cookie", "B~p=x, y; Secure")]
        kept = {"first": mine + kept, "last": kept + mine, "none": kept}[own]
        data = answer.read()
        link.close()
        return self._answer(answer.status, kept, data)

    do_GET = do_POST  # noqa: N815 - http.server's names

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def balancer(vcenter: VCenterSimulator, tls: TlsFiles, where: str) -> Iterator[Balancer]:
    server = Balancer(vcenter, tls, where)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("where", ["none", "first", "last"])
def test_a_balancers_cookies_do_no_harm(vcenter: VCenterSimulator, tls: TlsFiles, where: str) -> None:
    with balancer(vcenter, tls, where) as front, log_in(vcenter, port=front.server_port) as vsphere:
        machine = named(vsphere, "web-01")
        with open_datastore_disk(vsphere, machine, machine.disks[0]) as disk:
            assert len(disk.read_at(0, 512)) == 512
        vcenter.expire_sessions()
        assert read_inventory(vsphere).machines
        folder = [cookie for path, cookie in front.seen if path.startswith("/folder")]
    assert folder and all("vmware_soap_session=" in cookie for cookie in folder)
    assert all(("SERVERID=vc01" in cookie) == (where != "none") for cookie in folder)
    last = front.seen[-2][1]
    assert last.count("vmware_soap_session=") == 1
    assert logins(vcenter) == 2


@pytest.mark.parametrize(
    ("where", "words", "retry_safe"),
    [
        ("portal", "what answers there is no vCenter", False),
        ("302", "what answers there is no vCenter", False),
        ("503", "services are not up yet", True),
        ("502", "not one of a vCenter", True),
    ],
)
def test_what_is_no_vcenter_is_told_from_one_that_starts(
    vcenter: VCenterSimulator, tls: TlsFiles, where: str, words: str, retry_safe: bool
) -> None:
    with balancer(vcenter, tls, where) as front, pytest.raises(ServiceError, match=words) as caught:
        log_in(vcenter, port=front.server_port)
    assert caught.value.problem.retry_safe is retry_safe


@pytest.mark.parametrize(("where", "words"), [("portal", "no vCenter"), ("302", "no vCenter"), ("503", "not up yet")])
def test_the_same_in_the_middle_of_a_session(vcenter: VCenterSimulator, tls: TlsFiles, where: str, words: str) -> None:
    with balancer(vcenter, tls, "none") as front, log_in(vcenter, port=front.server_port) as vsphere:
        machine = named(vsphere, "web-01")
        front.where = where
        for ask in (vsphere.alive, lambda: read_inventory(vsphere)):
            with pytest.raises(ServiceError, match=words):
                ask()
        with pytest.raises(ServiceError):
            open_datastore_disk(vsphere, machine, machine.disks[0])
        front.where = "none"


# -- refused passwords


def test_a_refused_password_is_sent_once(vcenter: VCenterSimulator) -> None:
    settings = settings_for(vcenter)
    for _ in range(3):
        with pytest.raises(ServiceError, match="refused the user name or the password") as caught:
            connect(settings, "wrong")
        assert (caught.value.kind, caught.value.problem.code) == (ErrorKind.LOGIN, "InvalidLogin")
    assert logins(vcenter) == 1
    with pytest.raises(ServiceError):
        connect(settings, "wrong, too")  # another one
    assert logins(vcenter) == 2
    connect(settings, vcenter.password).close()
    with pytest.raises(ServiceError, match="refused"):
        connect(settings, "wrong")  # the account was opened in between: it is asked anew
    REFUSED.forget(settings)
    with pytest.raises(ServiceError, match="refused"):
        connect(settings, "wrong")
    assert logins(vcenter) == 5


def test_sessions_that_end_together_send_a_refused_password_once(vcenter: VCenterSimulator) -> None:
    """Three jobs with three threads each, whose sessions are over and whose password was changed."""
    sessions = [log_in(vcenter) for _ in range(3)]
    vcenter.expire_sessions()
    vcenter.faults.add(Fault("Login", action="error", code="InvalidLogin", times=None))
    vcenter.stats.reset()
    errors: list[ServiceError] = []
    start = threading.Barrier(9)

    def ask(number: int) -> None:
        vsphere = sessions[number % 3]
        start.wait()
        try:
            vsphere.call(lambda: vsphere.content.rootFolder.name)
        except ServiceError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error.kind for error in errors] == [ErrorKind.LOGIN] * 9
    assert logins(vcenter) == 1
    vcenter.faults.clear()
    for vsphere in sessions:
        vsphere.close()


def test_a_worker_that_starts_anew_knows_and_hears_of_a_resume(vcenter: VCenterSimulator, tmp_path: Path) -> None:
    settings, state = settings_for(vcenter), tmp_path / "state"

    def process(*, worker: bool) -> RefusedLogins:
        made = RefusedLogins()
        made.share(state, heed=worker)
        return made

    def refused(one: RefusedLogins, password: str = "old") -> bool:
        """Was it sent?"""
        sent = False
        with pytest.raises(ServiceError), one.attempt(settings, password):
            sent = True
            raise ServiceError(ErrorKind.LOGIN, "refused", code="InvalidLogin")
        return sent

    first = process(worker=True)
    assert refused(first) and not refused(first)
    assert not refused(process(worker=True))
    text = (state / FILE).read_text()
    assert "old" not in text and (state / FILE).stat().st_mode & 0o777 == 0o600
    assert refused(process(worker=False))  # the user's own command may try it
    process(worker=False).forget(settings)  # `vmie-tui resume`
    assert refused(first) and not refused(first)
    with process(worker=False).attempt(settings, "new"):
        pass  # accepted: the account is open
    assert json.loads((state / FILE).read_text()) == {}
    for damage in ("{", "[]", '{"a": 1}', '{"a": {"salt": 1, "digest": 2, "at": 3, "code": 4}}'):
        (state / FILE).write_text(damage)
        assert refused(process(worker=True))
        REFUSED.reset()
        (state / FILE).unlink()
    assert refused(first) and refused(first, "newer")


@pytest.mark.parametrize("change", [{"user": "other"}, {"host": "other"}, {"port": 1}])
def test_another_account_is_another_matter(vcenter: VCenterSimulator, change: dict[str, Any]) -> None:
    one, other = settings_for(vcenter), settings_for(vcenter, **change)
    known = RefusedLogins()
    with pytest.raises(ServiceError), known.attempt(one, "word"):
        raise ServiceError(ErrorKind.LOGIN, "refused", code="InvalidLogin")
    with known.attempt(other, "word"):
        pass
    with pytest.raises(ServiceError, match="refused the user name"), known.attempt(one, "word"):
        raise AssertionError("it was sent")


@pytest.mark.parametrize("code", ["NoPermission", "", "Timedout"])
def test_other_troubles_of_a_login_are_not_the_passwords(vcenter: VCenterSimulator, code: str) -> None:
    known, settings = RefusedLogins(), settings_for(vcenter)
    for _ in range(2):
        with pytest.raises(ServiceError, match="trouble"), known.attempt(settings, "word"):
            raise ServiceError(ErrorKind.REMOTE, "trouble", code=code)


# -- proxies


class Tunnel:
    """A small CONNECT proxy on loopback; ``answer`` instead of a tunnel."""

    def __init__(self, login: str = "", answer: bytes = b"", lead: Callable[[str], str] = lambda place: place) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.login, self.answer, self.lead = login, answer, lead
        self.asked: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = client.recv(1)
            if not piece:
                return client.close()
            head += piece
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0])
        given = next((line.split(" ", 1)[1] for line in lines if line.startswith("Proxy-Authorization:")), "")
        if self.answer or given != self.login:
            client.sendall(self.answer or b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return client.close()
        host, _, port = self.lead(lines[0].split(" ")[1]).rpartition(":")
        server = socket.create_connection((host.strip("[]"), int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)
        return None

    def close(self) -> None:
        self._socket.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        pass
    finally:
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def tunnel(*given: Any, **more: Any) -> Iterator[Tunnel]:
    made = Tunnel(*given, **more)
    try:
        yield made
    finally:
        made.close()


def test_everything_goes_through_the_proxy_in_the_settings(
    vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what goes to hosts: vCenter and they are names that only the proxy knows."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # does not count
    lead = {"vcenter.corp": "localhost", "esx-77.corp": "localhost"}
    vcenter.options.nfc_host = "esx-77.corp"
    proxy = Proxy("x", 1, "CORP\\svc", "p@ss#w:ö")
    try:
        with tunnel(proxy.authorization, lead=lambda place: f"{lead[place.rpartition(':')[0]]}:{vcenter.port}") as way:
            text = f"http://CORP%5Csvc:p%40ss%23w%3A%C3%B6@127.0.0.1:{way.port}"
            changes = {"host": "vcenter.corp", "ca_file": None, "thumbprint": vcenter.thumbprint, "proxy": text}
            with log_in(vcenter, **changes) as vsphere:
                machine = next(one for one in read_inventory(vsphere).machines if one.power == "off")
                with open_datastore_disk(vsphere, machine, machine.disks[0]) as disk:
                    assert disk.size == machine.disks[0].capacity
                with ExportLease(vsphere, machine.moid) as lease, lease.open(lease.disks[0]) as stream:
                    assert stream.readinto(memoryview(bytearray(512)))
                privileges.dial("esx-77.corp", 443, vsphere.proxy)
                assert shown_thumbprint("vcenter.corp", 443, proxy=vsphere.proxy) == vcenter.thumbprint_sha256
    finally:
        vcenter.options.nfc_host = "localhost"
    places = {line.split(" ")[1].rpartition(":")[0] for line in way.asked}
    assert places == {"vcenter.corp", "esx-77.corp"}
    for secret in ("p@ss#w:ö", "p%40ss%23w%3A%C3%B6", proxy.authorization.partition(" ")[2]):
        assert secret not in known_secrets.hidden(f"x {secret} y")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ErrorKind.LOGIN, "wants a user and a password"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", ErrorKind.REFUSED, "does not let us through"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", ErrorKind.NETWORK, "reaches nobody at localhost"),
        (b"HTTP/1.1 504\r\n\r\n", ErrorKind.NETWORK, "reaches nobody at localhost"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorKind.NETWORK, "no HTTP proxy answers"),
        (b"\x15\x03\x01", ErrorKind.NETWORK, "no HTTP proxy answers"),
    ],
)
def test_a_proxy_that_does_not_let_us_through_is_named(
    vcenter: VCenterSimulator, answer: bytes, kind: ErrorKind, words: str
) -> None:
    with tunnel(answer=answer) as way, pytest.raises(ServiceError, match=words) as caught:
        log_in(vcenter, proxy=f"127.0.0.1:{way.port}")
    assert caught.value.kind is kind
    assert f"proxy 127.0.0.1:{way.port}" in str(caught.value)


def test_a_proxy_that_is_not_there_is_named(vcenter: VCenterSimulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServiceError, match=f"127.0.0.1:{port}: the connection was refused") as caught:
        log_in(vcenter, proxy=f"http://127.0.0.1:{port}")
    assert "proxy" in caught.value.problem.remedy


def test_a_certificate_is_judged_through_the_proxy_too(vcenter: VCenterSimulator) -> None:
    with tunnel() as way, pytest.raises(ServiceError, match="not signed by a trusted authority") as caught:
        log_in(vcenter, proxy=f"http://127.0.0.1:{way.port}/", ca_file=None)
    assert vcenter.thumbprint_sha256 in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://proxy.corp:3128", Proxy("proxy.corp", 3128)),
        ("proxy:8080", Proxy("proxy", 8080)),
        ("HTTP://[fd00::1]:3128/", Proxy("fd00::1", 3128)),
        ("http://u:pw12@h:1", Proxy("h", 1, "u", "pw12")),
        ("http://u:P@ss#w/o?rd@h:1", Proxy("h", 1, "u", "P@ss#w/o?rd")),
        ("http://CORP\\u:a%40b@h:1", Proxy("h", 1, "CORP\\u", "a@b")),
        ("u@h:1", Proxy("h", 1, "u", "")),
    ],
)
def test_forms_of_a_proxy(text: str, found: Proxy) -> None:
    assert Proxy.parse(text) == found
    assert not found.password or found.password not in repr(found)


@pytest.mark.parametrize(
    "text", ["", "proxy", "https://p:1", "socks5://p:1", "http://p:0", "http://p:99999", "http://secretword:x@p/y:1"]
)
def test_what_is_no_proxy_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT") as caught:
        Proxy.parse(text)
    assert "secretword" not in str(caught.value)


# -- TLS


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), ErrorKind.NETWORK, "broke the connection off"),
        (ssl.SSLZeroReturnError(6, "closed"), ErrorKind.NETWORK, "broke the connection off"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), ErrorKind.TLS, "no TLS connection"),
    ],
)
def test_a_handshake_that_breaks_off_is_a_broken_connection(error: ssl.SSLError, kind: ErrorKind, words: str) -> None:
    found = unreachable(error, "vc", 443)
    assert (found.kind, found.problem.retry_safe) == (kind, kind is ErrorKind.NETWORK)
    assert words in str(found)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "brought up to date"),
        ("NO_SHARED_CIPHER", "brought up to date"),
        ("DH_KEY_TOO_SMALL", "brought up to date"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "demands a client certificate"),
        ("UNSUPPORTED_PROTOCOL", "speaks no TLS 1.2"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "speaks no TLS 1.2"),
        ("WRONG_VERSION_NUMBER", "Check that port 443 speaks HTTPS"),
    ],
)
def test_a_refused_handshake_has_the_remedy_of_its_reason(reason: str, words: str) -> None:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    assert words in unreachable(error, "vc", 443).problem.remedy


def test_a_standalone_host_is_known(vcenter: VCenterSimulator) -> None:
    with log_in(vcenter) as vsphere:
        assert not vsphere.standalone
        vsphere.content.about.__dict__["apiType"] = "HostAgent"
        assert vsphere.standalone
        assert isinstance(vsphere.content, vim.ServiceInstanceContent)


def test_settings_show_no_proxy_password() -> None:
    assert "hunter2" not in repr(VCenterSettings("vc", "u", proxy="http://u:hunter2@p:1"))
