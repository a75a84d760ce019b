"""The simulated vCenter's /folder, as strict as a real one: names decoded twice, datacenters by path, lock owners."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pyVmomi import vim, vmodl

from tests.kits.pyvmomi_client import QUICK, finish, get, login, machine, raw, tls_context
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.spec import ClusterSpec, DatacenterSpec, DatastoreSpec, DiskSpec, FleetSpec, VmSpec
from vmie_tui.simulators.vcenter.server import VCenterSimulator

MIB = 1 << 20
STORES = ("ssd+nvme 50%", "x (1)", "fra [ssd] 01", "ß日本")


def _vm(name: str, site: str, **more: Any) -> VmSpec:
    host = {"EU/DC1": "esx-eu", "US/DC1": "esx-us", "DC 2": "esx-2a"}[site]
    values: dict[str, Any] = {"datastore": "vmfs", "disks": (DiskSpec(MIB),), **more}
    return VmSpec(name, site, f"C {site}", host, **values)


def _site(name: str, hosts: tuple[str, ...], folder: tuple[str, ...] = (), stores: tuple[str, ...] = ()) -> Any:
    path = "/".join((*folder, name))
    listed = tuple(DatastoreSpec(one) for one in ("vmfs", *stores))
    return DatacenterSpec(name, (ClusterSpec(f"C {path}", hosts),), listed, folder=folder)


@pytest.fixture(scope="module")
def sim(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VCenterSimulator]:
    sites = (
        _site("DC1", ("esx-eu",), ("EU",)),
        _site("DC1", ("esx-us",), ("US",)),
        _site("DC 2", ("esx-2a", "esx-2b"), stores=STORES),
    )
    machines = (
        _vm("web", "EU/DC1"),
        _vm("web", "US/DC1"),
        _vm("run", "DC 2", power="on"),
        _vm("twin", "DC 2", folder=("a",)),
        _vm("twin", "DC 2", folder=("b",)),
        *(_vm(f"on {store}", "DC 2", datastore=store) for store in STORES),
    )
    with VCenterSimulator(FleetSpec(sites, machines), tmp_path_factory.mktemp("sim"), tls=tls, **QUICK) as sim:
        for number, one in enumerate(one for one in sim.center.registry.objects.values() if hasattr(one, "disks")):
            sim.write_disk(one.moid, 2000, 0, f"machine {number} {one.moid}".encode())
        yield sim


@pytest.fixture(scope="module")
def si(sim: VCenterSimulator) -> Any:
    return login(sim)


def _twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="")


def _get(sim: VCenterSimulator, si: Any, path: str, dc: str, ds: str = "vmfs", **headers: str) -> tuple[int, bytes]:
    """Both names as they are to stand in the URL."""
    url = f"https://x/folder/{quote(path)}?dcPath={dc}&dsName={ds}"
    status, _, body = get(sim, url, Cookie=si._stub.cookie, Range="bytes=0-99", **headers)
    return status, body


@pytest.mark.parametrize("store", STORES)
def test_names_are_decoded_twice(sim: VCenterSimulator, si: Any, store: str) -> None:
    path = f"on {store}/on {store}-flat.vmdk"
    status, body = _get(sim, si, path, _twice("DC 2"), _twice(store))
    assert (status, body) == (206, raw(sim.disk_path(f"on {store}", 2000))[:100])
    wrong = "+" in store or "%" in store
    assert _get(sim, si, path, quote("DC 2"), quote(store, safe=""))[0] == (404 if wrong else 206)


@pytest.mark.parametrize("form", [quote, quote_plus, _twice])
def test_a_plain_name_may_be_quoted_once_or_twice(sim: VCenterSimulator, si: Any, form: Any) -> None:
    assert _get(sim, si, "twin/twin-flat.vmdk", form("DC 2"))[0] == 206


def test_a_datacenter_is_known_by_its_path(sim: VCenterSimulator, si: Any) -> None:
    found = {site: _get(sim, si, "web/web-flat.vmdk", quote(site, safe="")) for site in ("EU/DC1", "US/DC1", "DC1")}
    assert found["EU/DC1"][0] == found["US/DC1"][0] == 206
    assert found["EU/DC1"][1] != found["US/DC1"][1]
    assert found["DC1"][0] == 404


def test_machines_of_one_name_have_folders_of_their_own(sim: VCenterSimulator, si: Any) -> None:
    first, second = (_get(sim, si, f"{home}/twin-flat.vmdk", quote("DC 2")) for home in ("twin", "twin_1"))
    assert first[0] == second[0] == 206
    assert first[1] != second[1]


def test_basic_authentication_opens_a_session(sim: VCenterSimulator, si: Any) -> None:
    url = f"https://x/folder/twin/twin-flat.vmdk?dcPath={quote('DC 2')}&dsName=vmfs"
    word = base64.b64encode(f"{sim.user}:{sim.password}".encode()).decode()
    status, headers, _ = get(sim, url, Authorization=f"Basic {word}")
    assert status == 200
    assert get(sim, url, Cookie=headers["Set-Cookie"].partition(";")[0])[0] == 200
    wrong = base64.b64encode(b"administrator@vsphere.local:no").decode()
    for header in (f"Basic {wrong}", "Basic !", "Basic", "Bearer x"):
        status, headers, _ = get(sim, url, Authorization=header)
        assert (status, headers["Set-Cookie"]) == (401, None)


def test_only_the_lock_owner_serves_a_running_machines_files(sim: VCenterSimulator, si: Any) -> None:
    vm = machine(si, "run")
    finish(vm.CreateSnapshot_Task("frozen", "", False, False))
    path = "run/run-flat.vmdk"
    assert _get(sim, si, path, quote("DC 2"))[0] == 206
    sim.trouble.make({"vm": "run", "kind": "lock-owner"})
    assert _get(sim, si, path, quote("DC 2"))[0] == 500

    def by(host: str, target: str, **wanted: str) -> int:
        spec = vim.SessionManager.HttpServiceRequestSpec(method="httpGet", url=f"https://{host}{target}")
        ticket = si.content.sessionManager.AcquireGenericServiceTicket(spec)
        assert ticket.sslThumbprint == sim.thumbprint
        where = f"https://{ticket.hostName}{wanted.get('asked', target)}"
        cookie = f"vmware_cgi_ticket={ticket.id}"
        status = get(sim, where, Cookie=cookie)[0]
        assert get(sim, where, Cookie=cookie)[0] == 401  # it is good for one request
        return status

    target = f"/folder/{path}?dcPath=ha-datacenter&dsName=vmfs"
    assert by("esx-2a", target) == 200
    assert by("esx-2b", target) == 500  # it does not run the machine
    assert by("esx-2a", f"/folder/{path}?dcPath=DC%202&dsName=vmfs") == 404  # a host knows no other datacenter
    assert by("esx-2a", target, asked=target.replace("run-flat", "run")) == 401
    with pytest.raises(vmodl.fault.InvalidArgument):
        by("esx-9", target)
    sim.trouble.make({"vm": "run", "kind": "no-lock-owner"})
    assert _get(sim, si, path, quote("DC 2"))[0] == 206


def test_dates_may_be_left_out(sim: VCenterSimulator, si: Any) -> None:
    url = f"https://x/folder/twin/twin-flat.vmdk?dcPath={quote('DC 2')}&dsName=vmfs"
    cookie = si._stub.cookie
    assert get(sim, url, Cookie=cookie)[1]["Last-Modified"]
    sim.options.folder_dates = False
    try:
        status, headers, _ = get(sim, url, Cookie=cookie, Range="bytes=0-9")
        assert (status, headers["Last-Modified"]) == (206, None)
    finally:
        sim.options.folder_dates = True


@pytest.mark.parametrize("sizes", [(7,), (1, 4096, 3), (70_000,)])
def test_requests_in_chunks_are_read(sim: VCenterSimulator, si: Any, sizes: tuple[int, ...]) -> None:
    """As Go's clients send SOAP; the next request on the connection is read as one, too."""
    body = (
        b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
        b'<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>'
        b"</soapenv:Body></soapenv:Envelope>" + b" " * 80_000
    )
    connection = http.client.HTTPSConnection("localhost", sim.port, context=tls_context(sim), timeout=20)
    for _ in range(2):
        pieces, at = [], 0
        while at < len(body):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(body[at : at + size])
            at += size
            if len(pieces) > 300:
                pieces.append(body[at:])
                break
        connection.request("POST", "/sdk", iter(pieces), {"Content-Type": "text/xml"}, encode_chunked=True)
        answer = connection.getresponse()
        assert (answer.status, b"CurrentTimeResponse" in answer.read()) == (200, True)
    connection.close()


def test_damaged_chunks_are_refused(sim: VCenterSimulator) -> None:
    connection = http.client.HTTPSConnection("localhost", sim.port, context=tls_context(sim), timeout=20)
    connection.putrequest("POST", "/sdk")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"zz\r\nabc\r\n0\r\n\r\n")
    assert connection.getresponse().status == 400
    connection.close()
