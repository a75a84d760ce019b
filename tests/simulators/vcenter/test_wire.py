"""The codec against pyVmomi's own serializer, over everything a whole fleet has to say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl

from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.spec import ClusterSpec, DatacenterSpec, DatastoreSpec, DiskSpec, FleetSpec, NicSpec, VmSpec
from vmie_tui.simulators.vcenter import wire
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.server import VCenterSimulator
from vmie_tui.simulators.vcenter.values import NAMESPACE, VERSION

NAMESPACES = {**SoapAdapter.SOAP_NSMAP, NAMESPACE: ""}
DISK = DiskSpec(20 << 30)


def odd_fleet() -> FleetSpec:
    """One machine of every shape."""
    place = {"datacenter": "DC <1> & co", "cluster": "C1", "host": "esx-01.corp", "datastore": "vmfs-1"}
    machines = (
        VmSpec(
            "on", **place, power="on", nics=(NicSpec(addresses=("10.0.0.4", "fe80::4"), dhcp=False),), disks=(DISK,)
        ),
        VmSpec("hot", **place, power="suspended", tools="toolsNotInstalled", cdrom_connected=True, nics=()),
        VmSpec("many", **place, snapshots=3, disks=tuple(DiskSpec(1 << 20) for _ in range(20)), folder=("a", "b & c")),
        VmSpec(
            "kinds",
            **place,
            cbt=True,
            disks=tuple(DiskSpec(1 << 20, controller=c) for c in ("lsi", "sata", "ide", "nvme")),
        ),
        VmSpec("rdm", **place, disks=(DiskSpec(1 << 20, backing="rdm"), DiskSpec(1 << 20, backing="sesparse"))),
        VmSpec(
            "safe",
            **place,
            encrypted=True,
            vtpm=True,
            passthrough=True,
            firmware="uefi",
            secure_boot=True,
            disks=(DISK,),
        ),
        VmSpec("lost", **place, connection="inaccessible"),
    )
    stores = (DatastoreSpec("vmfs-1"),)
    return FleetSpec((DatacenterSpec("DC <1> & co", (ClusterSpec("C1", ("esx-01.corp",)),), stores),), machines)


@pytest.fixture(scope="module", params=["tiny", "odd", "company"])
def objects(request: pytest.FixtureRequest, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> list[Managed]:
    fleet = {"tiny": tiny, "odd": odd_fleet, "company": company}[request.param]()
    sim = VCenterSimulator(fleet, tmp_path_factory.mktemp("vc"), tls=tls)
    return list(sim.center.registry.objects.values())


def values(objects: list[Managed]) -> Iterator[tuple[Managed, str, Any, Any]]:
    for managed in objects:
        for name in managed.names():
            value = managed.value(name)
            if value is not None and not (isinstance(value, list) and not value):
                yield managed, name, value, VmomiSupport.GetPropertyInfo(managed.kind, name).type


def test_every_property_is_written_as_pyvmomi_writes_it(objects: list[Managed]) -> None:
    info = VmomiSupport.Object(name="val", type=object, version=VERSION, flags=VmomiSupport.F_OPTIONAL)
    count = 0
    for managed, name, value, declared in values(objects):
        typed = declared(value) if isinstance(value, list) or issubclass(declared, (VmomiSupport.Enum, int)) else value
        expected = SoapAdapter.SerializeToStr(typed, info, VERSION, NAMESPACES).replace(' versionId="8.0.3.0"', "")
        expected = expected.replace('"ManagedObject"', '"ManagedObjectReference"')  # as vCenter itself writes it
        assert wire.dump_any("val", value, declared) == expected, f"{managed.moid}.{name}"
        count += 1
    assert count > 100


def check(value: Any, where: str) -> None:
    """Every field of a data object holds what the schema says."""
    if isinstance(value, list):
        for item in value:
            check(item, where)
    elif isinstance(value, VmomiSupport.DataObject):
        for info in value._GetPropertyList():
            held = getattr(value, info.name)
            enum = issubclass(info.type, VmomiSupport.Enum)
            if enum and held is not None:
                assert held in info.type.values, f"{where}.{info.name} is {held}"
            else:
                VmomiSupport.CheckField(info, held)
            check(held, f"{where}.{info.name}")


def test_every_data_object_is_what_the_schema_says(objects: list[Managed]) -> None:
    for managed, name, value, _ in values(objects):
        check(value, f"{managed.moid}.{name}")


def test_faults_and_arguments_come_back_as_they_were() -> None:
    disk = vim.vm.device.VirtualDisk(
        key=2000, capacityInKB=1024, backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo()
    )
    disk.backing.fileName, disk.backing.diskMode = "[a] b & c/<d>.vmdk", "persistent"
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=disk)
    spec = vim.vm.ConfigSpec(name="x", memoryMB=5, changeTrackingEnabled=True, deviceChange=[change])
    text = SoapAdapter.SerializeToStr(
        spec, VmomiSupport.Object(name="spec", type=vim.vm.ConfigSpec, version=VERSION, flags=0), VERSION, NAMESPACES
    )
    element = ET.fromstring(
        f'<e xmlns="urn:vim25" xmlns:xsi="{VmomiSupport.XMLNS_XSI}" xmlns:xsd="{VmomiSupport.XMLNS_XSD}">{text}</e>'
    )[0]
    back = wire.parse(element, vim.vm.ConfigSpec)
    assert str(back) == str(spec)


@pytest.mark.parametrize(
    "text",
    [
        "<spec><nonsense>1</nonsense></spec>",
        "<spec><memoryMB>many</memoryMB></spec>",
        '<spec xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Nothing"/>',
    ],
)
def test_what_the_schema_does_not_know_is_an_invalid_request(text: str) -> None:
    with pytest.raises(vmodl.fault.InvalidRequest):
        wire.parse(ET.fromstring(text), vim.vm.ConfigSpec)


def test_object_ids_and_uuids_depend_on_the_fleet_alone(tls: TlsFiles, tmp_path: Path) -> None:
    def names(where: Path) -> dict[str, tuple[str, str]]:
        sim = VCenterSimulator(tiny(), where, tls=tls)
        return {name: (sim.machine(name).moid, sim.machine(name).instance_uuid) for name in ("web-01", "db-01")}

    assert names(tmp_path / "a") == names(tmp_path / "b")
