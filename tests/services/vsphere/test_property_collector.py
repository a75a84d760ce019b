"""Property collector replies as they come over the wire: compressed, chunked, on a connection used again."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import SoapStubAdapter, vim, vmodl

from vmie_tui.services.vsphere.property_collector import (
    Page,
    Record,
    object_specification,
    retrieve,
    text_at,
    without_unknown,
)

PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval>%s
<objects><obj type="VirtualMachine">vm-1</obj>
<propSet><name>name</name><val xsi:type="xsd:string">w&#233;b &amp; co</val></propSet>
<propSet><name>config.hardware</name><val xsi:type="VirtualHardware"><numCPU>4</numCPU></val></propSet>
<missingSet><path>config.annotation</path><fault><fault xsi:type="NoPermission"><privilegeId>System.Read</privilegeId>
</fault><localizedMessage>no</localizedMessage></fault></missingSet></objects>
</returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>"""


class Vcenter(BaseHTTPRequestHandler):
    """Two pages, compressed when asked for; remembers how many connections it saw."""

    protocol_version = "HTTP/1.1"
    connections = 0
    calls = 0

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).calls += 1
        page = PAGE % (b"" if b"ContinueRetrieve" in body else b"<token>t-1</token>")
        assert "gzip" in self.headers["Accept-Encoding"]
        page = gzip.compress(page)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(page), 100):
            piece = page[at : at + 100]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def vsphere() -> Iterator[Any]:
    Vcenter.connections = Vcenter.calls = 0
    server = HTTPServer(("127.0.0.1", 0), Vcenter)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stub = SoapStubAdapter("127.0.0.1", -server.server_port, version="vim.version.version12")
    collector = vmodl.query.PropertyCollector("propertyCollector", stub)
    yield SimpleNamespace(
        stub=stub, content=SimpleNamespace(propertyCollector=collector), once=lambda function: function()
    )
    stub.DropConnections()
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_compressed_pages_on_one_connection(vsphere: Any) -> None:
    specification = object_specification(vim.VirtualMachine("vm-1", vsphere.stub), ("name",))
    found = [(record.moid, record.text("name")) for record in retrieve(vsphere, specification)]
    found += [(record.moid, record.text("name")) for record in retrieve(vsphere, specification)]
    assert found == [("vm-1", "wéb & co")] * 4
    assert (Vcenter.calls, Vcenter.connections) == (4, 1)


def test_a_record_says_what_is_there_and_why_not() -> None:
    page = Page(io.BytesIO(PAGE % b"<token>t-2</token>"))
    seen: list[Record] = []
    for record in page.records():
        seen.append(record)
        assert (record.kind, record.moid) == ("VirtualMachine", "vm-1")
        assert text_at(record.values["config.hardware"], "numCPU") == "4"
        assert record.missing == {"config.annotation": "NoPermission"}
        assert (record.text("nothing", "else"), record.number("nothing", 3), record.flag("nothing")) == (
            "else",
            3,
            False,
        )
    assert len(seen) == 1
    assert page.token == "t-2"


def test_what_an_old_vcenter_does_not_know_is_left_out() -> None:
    from vmie_tui.services.vsphere.errors import from_fault

    asked: list[list[str]] = []

    def read(paths: list[str]) -> str:
        asked.append(list(paths))
        for path in paths:
            if path != "name":
                raise from_fault(vmodl.query.InvalidProperty(name=path, msg=f"Property {path} is not known."))
        return "read"

    assert without_unknown(read, ("name", "config.keyId", "runtime.cryptoState")) == "read"
    assert asked[-1] == ["name"]
