"""Names that need care on every URL and path: datastores, datacenters and machines."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyVmomi import vim

from tests.kits.pyvmomi_client import QUICK
from tests.kits.vcenter_session import settings_for
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.explain import explain
from vmie_tui.model.machine import Machine
from vmie_tui.model.rules.systems import system_of
from vmie_tui.operations.sources import find, named
from vmie_tui.services.vsphere.changed_blocks import snapshot_disks
from vmie_tui.services.vsphere.datastore.flat_file import LOCK_OWNER, FlatFile, _place
from vmie_tui.services.vsphere.datastore.folder_reader import FolderReader
from vmie_tui.services.vsphere.datastore.range_reader import open_datastore_disk
from vmie_tui.services.vsphere.errors import from_fault
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.inventory_paths import InventoryPaths, escaped, read_inventory_paths
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.services.vsphere.snapshot import create_snapshot, remove_snapshot
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.fleet.odd import STORES, odd
from vmie_tui.simulators.vcenter.server import VCenterSimulator

NAMES = st.text(st.sampled_from("ab+% []()'\"/\\#?&=;,ß日·~-._2fF5cC"), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def sim(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(odd(), tmp_path_factory.mktemp("odd"), tls=tls, **QUICK) as sim:
        yield sim


@pytest.fixture(scope="module")
def vsphere(sim: VCenterSimulator) -> Iterator[VSphere]:
    with connect(settings_for(sim), sim.password) as vsphere:
        yield vsphere


@pytest.fixture(scope="module")
def machines(vsphere: VSphere) -> tuple[Machine, ...]:
    return read_inventory(vsphere).machines


class Known:
    """As much of a session as the names of files need."""

    def __init__(self, places: InventoryPaths) -> None:
        self.places = places


def _places(store: str, folder: str, site: str) -> InventoryPaths:
    kinds = {"f": "Folder", "d": "Datacenter", "s": "Datastore"}
    return InventoryPaths({"f": folder, "d": site, "s": store}, {"d": "f", "s": "d"}, kinds)


@given(NAMES, NAMES, NAMES, NAMES)
@example("ssd+nvme 50%", "EU", "DC1", "web-01")
@example("a] b", "x/y", "50%", "db.vmdk")
@example("%2f", "%252F", "+", "%")
def test_vcenter_finds_what_is_meant(store: str, folder: str, site: str, machine: str) -> None:
    """Decoded twice, as vCenter does."""
    vsphere = Known(_places(store, folder, site))
    file = FlatFile(vsphere, "d", f"[{store}] {machine}/{machine}.vmdk", otherwise="")  # type: ignore[arg-type]
    url = urlsplit(file.path)
    assert url.fragment == ""
    assert unquote(url.path) == f"/folder/{machine}/{machine}-flat.vmdk"
    query = {name: unquote_plus(found) for name, (found,) in parse_qs(url.query, strict_parsing=True).items()}
    assert query == {"dcPath": f"{folder}/{site}", "dsName": store}


@given(NAMES.filter(lambda name: not set(name) & set("+%")))
def test_a_plain_name_is_the_same_for_a_server_that_decodes_once(store: str) -> None:
    vsphere = Known(_places(store, "EU", "DC1"))
    path = FlatFile(vsphere, "d", f"[{store}] a/a.vmdk", otherwise="").path  # type: ignore[arg-type]
    assert parse_qs(urlsplit(path).query) == {"dcPath": ["EU/DC1"], "dsName": [store]}


def test_other_names_are_asked_for_in_that_form_too_unless_it_may_mean_another(vsphere: VSphere) -> None:
    places = _places("a+b", "EU", "DC1")
    file = FlatFile(Known(places), "d", "[a+b] x/x.vmdk", otherwise="")  # type: ignore[arg-type]
    assert parse_qs(urlsplit(file.path).query)["dsName"] == ["a%2Bb"]
    assert not file.another_way(500)
    assert file.another_way(404)
    assert parse_qs(urlsplit(file.path).query)["dsName"] == ["a+b"]
    assert not file.another_way(404)
    places.names["t"], places.kinds["t"] = "a b", "Datastore"  # what vCenter would make of that form
    file = FlatFile(Known(places), "d", "[a+b] x/x.vmdk", otherwise="")  # type: ignore[arg-type]
    assert not file.another_way(404)


@pytest.mark.parametrize(
    ("file", "datastore", "found"),
    [
        ("[a] b/c.vmdk", "", ("a", "b/c.vmdk")),
        ("[fra [ssd] 01] web/web.vmdk", "", ("fra [ssd] 01", "web/web.vmdk")),
        ("[x] y] z/z.vmdk", "x", ("x", "y] z/z.vmdk")),
        ("[x] y] z/z.vmdk", "x] y", ("x] y", "z/z.vmdk")),
        ("[unknown] z/z.vmdk", "", ("unknown", "z/z.vmdk")),
        ("[50%25] z/z.vmdk", "50%", ("50%25", "z/z.vmdk")),
        ("[] z.vmdk", "", ("", "")),
        ("z.vmdk", "", ("", "")),
        ("[a]z.vmdk", "", ("", "")),
        ("", "", ("", "")),
    ],
)
def test_a_files_datastore_is_the_one_that_is_known(file: str, datastore: str, found: tuple[str, str]) -> None:
    places = _places("fra [ssd] 01", "EU", "DC1")
    assert places.split_file(file, datastore) == found


@given(NAMES)
def test_escapes_are_those_of_vcenter(name: str) -> None:
    assert unquote(escaped(name)) == name
    assert not set(escaped(name)) & set("/\\")


def test_datacenters_of_one_name_are_told_apart(vsphere: VSphere, machines: tuple[Machine, ...]) -> None:
    twice = [one for one in machines if one.name == "pay-01"]
    assert sorted(one.path for one in twice) == ["EU/DC1/pay-01", "US/DC1/pay-01"]
    places = read_inventory_paths(vsphere)
    for one in twice:
        assert places.datacenter_path(one.datacenter_id) == places.datacenter_path(one.datacenter) == one.datacenter


def test_a_machine_is_found_by_path_and_id(machines: tuple[Machine, ...]) -> None:
    assert find(machines, "/EU/DC1/pay-01") == find(machines, "EU/DC1/pay-01") != find(machines, "US/DC1/pay-01")
    assert named(machines, "db.vmdk") == named(machines, "/US/DC1/db.vmdk")
    with pytest.raises(ServiceError, match="Give the path of one of them: EU/DC1/pay-01, US/DC1/pay-01"):
        find(machines, "pay-01")
    twins = named(machines, "US/DC1/Same/twin")
    with pytest.raises(ServiceError, match="Give the id of one of them") as caught:
        find(machines, "twin")
    assert len({one.instance_uuid for one in twins}) == 2
    assert all(f"{one.moid} (US/DC1/Same/twin)" in str(caught.value) for one in twins)
    assert find(machines, twins[1].moid) is twins[1]


def test_disks_on_every_datastore_are_read(
    sim: VCenterSimulator, vsphere: VSphere, machines: tuple[Machine, ...]
) -> None:
    off = [one for one in machines if one.power.value == "off"]
    assert {one.disks[0].datastore for one in off} == {STORES[0], STORES[1], STORES[2]}
    for one in off:
        with open_datastore_disk(vsphere, one, one.disks[0]) as source:
            assert source.read_at(0, 4096) == sim.disk_path(one.moid, 2000).read_bytes()[:4096]


# -- a file that only the lock's owner serves


@pytest.fixture
def frozen(sim: VCenterSimulator, vsphere: VSphere, machines: tuple[Machine, ...]) -> Iterator[tuple[Machine, str]]:
    machine = find(machines, "US/DC1/pay-01")
    snapshot = create_snapshot(vsphere, machine.moid, "vmie", "", quiesce=False)
    sim.trouble.make({"vm": machine.moid, "kind": "lock-owner"})
    yield machine, snapshot_disks(vsphere, snapshot.moid)[0].file_name
    sim.faults.clear()
    sim.trouble.make({"vm": machine.moid, "kind": "no-lock-owner"})
    remove_snapshot(vsphere, snapshot.moid)


def _reader(vsphere: VSphere, frozen: tuple[Machine, str], host: str = "") -> FolderReader:
    machine, file = frozen
    return FolderReader(vsphere, machine.datacenter_id, file, host=host or machine.host, by_host=True)


def test_the_host_that_owns_the_lock_is_asked_itself(
    sim: VCenterSimulator, vsphere: VSphere, frozen: tuple[Machine, str]
) -> None:
    sim.stats.reset()
    with _reader(vsphere, frozen) as reader:
        assert reader.at_host == frozen[0].host
        assert reader.read_at(0, 5 << 20) == sim.disk_path(frozen[0].moid, 2000).read_bytes()[: 5 << 20]
    seen = sim.stats.snapshot()
    assert seen["AcquireGenericServiceTicket"] == seen["folder:GET"] - 1  # one ticket a request, but for the first
    sim.expire_sessions()  # a ticket is asked for with a new session then
    with _reader(vsphere, frozen) as reader:
        assert len(reader.read_at(1 << 20, 512)) == 512


def test_a_look_into_a_frozen_disk_goes_there_too(
    sim: VCenterSimulator, vsphere: VSphere, frozen: tuple[Machine, str]
) -> None:
    machine, _ = frozen
    with pytest.raises(ServiceError, match="holds the disk's file locked"):
        open_datastore_disk(vsphere, machine, machine.disks[0])
    with open_datastore_disk(vsphere, machine, machine.disks[0], frozen=True) as source:
        assert source.read_at(1 << 20, 512) == sim.disk_path(machine.moid, 2000).read_bytes()[1 << 20 :][:512]


@pytest.mark.parametrize("reason", ["another host", "its answer", "no ticket"])
def test_where_that_cannot_be_the_error_says_so(
    sim: VCenterSimulator, vsphere: VSphere, frozen: tuple[Machine, str], reason: str
) -> None:
    host = ""
    if reason == "another host":
        host = "esx-2.us.example"
    elif reason == "its answer":
        sim.faults.add(Fault("folder:GET", action="error", status=500, times=None))
    else:
        sim.faults.add(Fault("AcquireGenericServiceTicket", action="error", code="NotSupported", times=None))
    with pytest.raises(ServiceError, match="vCenter found the disk's file locked, and its host esx-") as caught:
        _reader(vsphere, frozen, host)
    assert (caught.value.kind, caught.value.problem.code) == (ErrorKind.CONFLICT, LOCK_OWNER)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("esx", ("esx", 443)),
        ("esx:8443", ("esx", 8443)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("fd00::1", ("fd00::1", 443)),
        ("[fd00::1]", ("fd00::1", 443)),
        ("[fd00::1]:902", ("fd00::1", 902)),
        ("esx:", ("esx:", 443)),
    ],
)
def test_where_a_ticket_leads(text: str, place: tuple[str, int]) -> None:
    assert _place(text) == place


# -- hosts by themselves


@pytest.mark.parametrize(
    ("guest_id", "name", "tools", "bits"),
    [
        ("otherGuest", "Other (32-bit)", "", None),
        ("otherGuest", "Other (32-bit)", "Debian GNU/Linux 12 (64-bit)", 64),
        ("otherGuest64", "Other (64-bit)", "", 64),
        ("otherLinuxGuest", "Other Linux (32-bit)", "", 32),
        ("debian10Guest", "Debian GNU/Linux 10 (32-bit)", "", 32),
    ],
)
def test_a_guest_that_nobody_named_is_not_said_to_be_32_bit(
    guest_id: str, name: str, tools: str, bits: int | None
) -> None:
    machine = Machine("vm-1", "a", guest_id=guest_id, guest_name=name, tools_guest_name=tools)
    assert system_of(machine).bits == bits


def test_the_licence_refusal_is_known() -> None:
    text = "Current license or ESXi version prohibits execution of the requested operation."
    for words in (text, f"vim.fault.RestrictedVersion: {text}"):
        match = explain(words).matches[0]
        assert "licence" in match.cause and "evaluation or paid licence" in match.remedy
    refused = from_fault(vim.fault.RestrictedVersion(msg=text), doing="starting the export")
    assert "assign an evaluation or paid one" in refused.problem.remedy
    assert explain(str(refused)).matches[0].id == match.id
