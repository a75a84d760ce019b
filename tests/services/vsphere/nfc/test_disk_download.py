"""Disk streams against hosts that break off, stall, chunk and show the wrong certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.nfc.disk_download import DiskStream
from vmie_tui.services.vsphere.tls import Trust, thumbprint_of
from vmie_tui.simulators.control import TlsFiles, make_tls

DATA = bytes(range(256)) * 4096  # 1 MiB
Answer = Callable[[ssl.SSLSocket], None]


class Host:
    """Answers one request per connection with whatever ``answer`` writes; keeps the requests it got."""

    def __init__(self, tls: TlsFiles) -> None:
        self.answer: Answer = plain
        self.requests: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(tls.chain, tls.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.release = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as sock:
                request = sock.recv(65536)
                if request:
                    self.requests.append(request)
                    self.answer(sock)

    def close(self) -> None:
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def plain(sock: ssl.SSLSocket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA) + DATA)


def chunked(sock: ssl.SSLSocket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for at in range(0, len(DATA), 100_000):
        piece = DATA[at : at + 100_000]
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    sock.sendall(b"0\r\n\r\n")


def half(sock: ssl.SSLSocket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA) + DATA[: len(DATA) // 2])


def half_chunk(sock: ssl.SSLSocket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(DATA) + DATA[:1000])


@pytest.fixture
def host(tls: TlsFiles) -> Iterator[Host]:
    running = Host(tls)
    yield running
    running.close()


def certificate(tls: TlsFiles) -> bytes:
    return ssl.PEM_cert_to_DER_cert(tls.chain.read_text().partition("-----END CERTIFICATE-----")[0] + ENDING)


ENDING = "-----END CERTIFICATE-----\n"


def take(stream: DiskStream) -> bytes:
    buffer, found = bytearray(300_000), bytearray()
    with stream:
        while count := stream.readinto(memoryview(buffer)):
            found += buffer[:count]
    return bytes(found)


@pytest.mark.parametrize(("answer", "length"), [(plain, len(DATA)), (chunked, None)])
@pytest.mark.parametrize("pinned", [True, False])
def test_all_bytes_arrive(host: Host, tls: TlsFiles, answer: Answer, length: int | None, pinned: bool) -> None:
    host.answer = answer
    trust = Trust(thumbprint=thumbprint_of(certificate(tls), 40)) if pinned else Trust(ca_file=tls.ca)
    stream = DiskStream("127.0.0.1", host.port, "/nfc/1/disk-0.vmdk", trust=trust, cookie="vmware_soap_session=x")
    assert stream.content_length == length
    assert take(stream) == DATA
    assert stream.received == len(DATA)
    assert b"\r\nCookie: vmware_soap_session=x\r\n" in host.requests[0]


@pytest.mark.parametrize("answer", [half, half_chunk])
def test_a_stream_cut_short_is_no_end(host: Host, tls: TlsFiles, answer: Answer) -> None:
    host.answer = answer
    with pytest.raises(ServiceError) as caught:
        take(DiskStream("127.0.0.1", host.port, "/", trust=Trust(ca_file=tls.ca)))
    assert caught.value.kind is ErrorKind.NETWORK
    assert caught.value.problem.retry_safe


def test_silence_ends_with_the_read_timeout(host: Host, tls: TlsFiles) -> None:
    def stall(sock: ssl.SSLSocket) -> None:
        half(sock)
        host.release.wait(20)

    host.answer = stall
    with pytest.raises(ServiceError, match="did not answer in time"):
        take(DiskStream("127.0.0.1", host.port, "/", trust=Trust(ca_file=tls.ca), timeout=0.2))


def test_a_waiting_read_can_be_interrupted_and_tells_the_cause(host: Host, tls: TlsFiles) -> None:
    def stall(sock: ssl.SSLSocket) -> None:
        half(sock)
        host.release.wait(20)

    host.answer = stall
    cause = ServiceError(ErrorKind.CONFLICT, "the export lease was lost")
    stream = DiskStream("127.0.0.1", host.port, "/", trust=Trust(ca_file=tls.ca), explain=lambda: cause)
    failures: list[Exception] = []

    def read() -> None:
        try:
            take(stream)
        except ServiceError as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: stream.received or not reader.is_alive(), what="the first bytes")
    stream.interrupt()
    reader.join(5)
    assert failures == [cause]


def test_nothing_is_sent_to_a_host_with_another_certificate(
    host: Host, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_tls(tmp_path_factory.mktemp("other"))
    for trust in (Trust(thumbprint="ab" * 20), Trust(ca_file=other.ca)):
        with pytest.raises(ServiceError) as caught:
            DiskStream("127.0.0.1", host.port, "/", trust=trust, cookie="vmware_soap_session=secret")
        assert caught.value.kind is ErrorKind.TLS
    assert host.requests == []


def test_a_name_that_does_not_resolve_tells_about_the_port() -> None:
    with pytest.raises(ServiceError, match=r"host esx-01\.invalid: its name must resolve here and port 443") as caught:
        DiskStream("esx-01.invalid", 443, "/", trust=Trust(thumbprint="ab" * 32))
    assert caught.value.kind is ErrorKind.NETWORK


def test_a_refused_request_says_so(host: Host, tls: TlsFiles) -> None:
    host.answer = lambda sock: sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(ServiceError, match="HTTP 404 Not Found") as caught:
        DiskStream("127.0.0.1", host.port, "/", trust=Trust(ca_file=tls.ca))
    assert caught.value.kind is ErrorKind.NOT_FOUND
