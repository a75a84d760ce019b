"""The simulated vCenter as govc sees it: a client that is not pyVmomi, and sends its requests in chunks.

Build it with ``.ci/build-govc`` and name the binary in VMIE_GOVC; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kits.pyvmomi_client import QUICK, decode
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.odd import odd
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.ovf import describe_machine
from vmie_tui.simulators.vcenter.server import VCenterSimulator

BINARY = os.environ.get("VMIE_GOVC", "")
pytestmark = pytest.mark.skipif(
    not BINARY or not Path(BINARY).is_file(), reason="VMIE_GOVC names no govc binary: build one with .ci/build-govc"
)
Govc = Callable[..., str]
STORE = "vmfs-01"
DISK_ITEM = (
    "<Item><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType>"
    "<rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:Parent>3</rasd:Parent></Item>"
)


@pytest.fixture(scope="module")
def sim(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(tiny(), tmp_path_factory.mktemp("sim"), tls=tls, **QUICK) as sim:
        yield sim


def client(sim: VCenterSimulator, home: Path) -> Govc:
    """Runs one command against a simulator, and gives what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GOVC_URL": f"https://localhost:{sim.port}/sdk",
        "GOVC_USERNAME": sim.user,
        "GOVC_PASSWORD": sim.password,
        "GOVC_TLS_CA_CERTS": str(sim.tls.ca),  # verified, as ours is
        "GOVC_PERSIST_SESSION": "false",
    }

    def run(*words: str, fails: bool = False) -> str:
        done = subprocess.run(
            [BINARY, *words], env=environment, cwd=home, capture_output=True, text=True, timeout=60, check=False
        )
        assert "panic:" not in done.stderr, done.stderr
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture
def govc(sim: VCenterSimulator, tmp_path: Path) -> Govc:
    return client(sim, tmp_path)


def test_says_who_it_is(govc: Govc) -> None:
    assert json.loads(govc("about", "-json"))["About"]["ApiType"] == "VirtualCenter"


def test_lists_the_inventory(sim: VCenterSimulator, govc: Govc) -> None:
    assert set(govc("ls").split()) == {"/DC1/network", "/DC1/datastore", "/DC1/host", "/DC1/vm"}
    assert "/DC1/vm/Test/Web/web-01" in govc("ls", "/DC1/vm/Test/Web").split()
    assert len(govc("find", "/", "-type", "m").split()) == len(tiny().machines)
    assert f"/DC1/datastore/{STORE}" in govc("ls", "/DC1/datastore").split()


def test_tells_a_machine(sim: VCenterSimulator, govc: Govc) -> None:
    (machine,) = json.loads(govc("vm.info", "-json", "web-01"))["VirtualMachines"]
    mine = sim.machine("web-01")
    assert (machine["Self"]["Value"], machine["Config"]["InstanceUuid"]) == (mine.moid, mine.instance_uuid)
    assert "VirtualDisk" in govc("device.ls", "-vm", "web-01")


def test_makes_and_removes_snapshots(sim: VCenterSimulator, govc: Govc) -> None:
    govc("snapshot.create", "-vm", "web-02", "one")
    govc("snapshot.create", "-vm", "web-02", "two")
    assert govc("snapshot.tree", "-vm", "web-02").split() == ["one", "two", "."]
    govc("snapshot.remove", "-vm", "web-02", "one")
    assert [node.label for node in sim.machine("web-02").snapshots()] == ["two"]
    govc("snapshot.revert", "-vm", "web-02", "two")
    govc("snapshot.remove", "-vm", "web-02", "*")
    assert not list(sim.machine("web-02").snapshots())


def test_powers(sim: VCenterSimulator, govc: Govc) -> None:
    govc("vm.power", "-on", "web-02")
    assert sim.machine("web-02").power == "poweredOn"
    assert "current state (Powered on)" in govc("vm.power", "-on", "web-02", fails=True)
    govc("vm.power", "-off", "web-02")
    assert sim.machine("web-02").power == "poweredOff"


def test_changes_settings(sim: VCenterSimulator, govc: Govc) -> None:
    govc("vm.change", "-vm", "web-01", "-e", "guestinfo.a=b c", "-e", "disk.EnableUUID=TRUE")
    assert sim.machine("web-01").extra == {"guestinfo.a": "b c", "disk.EnableUUID": "TRUE"}
    shown = govc("vm.info", "-e", "web-01")
    assert re.search(r"guestinfo\.a:\s+b c", shown), shown
    govc("vm.change", "-vm", "web-01", "-e", "guestinfo.a=")
    assert "guestinfo.a" not in sim.machine("web-01").extra
    govc("vm.change", "-vm", "web-01", "-annotation", "by govc")
    assert sim.machine("web-01").spec.annotation == "by govc"
    assert "Not simulated: memoryMB" in govc("vm.change", "-vm", "web-01", "-m", "2048", fails=True)


def test_browses_and_reads_a_datastore(sim: VCenterSimulator, govc: Govc, tmp_path: Path) -> None:
    assert "web-01" in govc("datastore.ls", "-ds", STORE).split()
    assert set(govc("datastore.ls", "-ds", STORE, "web-01").split()) >= {
        "web-01.vmx",
        "web-01.vmdk",
        "web-01-flat.vmdk",
    }
    assert govc("datastore.ls", "-ds", STORE, "web-01/*.vmx").split() == ["web-01.vmx"]
    assert "web-01.nvram" in govc("datastore.ls", "-ds", STORE, "-l", "web-01")
    assert "web-01-flat.vmdk" in govc("datastore.ls", "-ds", STORE, "-R")
    govc("datastore.ls", "-ds", STORE, "nobody/nothing", fails=True)
    govc("datastore.download", "-ds", STORE, "web-01/web-01-flat.vmdk", "flat")
    assert (tmp_path / "flat").read_bytes() == sim.disk_path("web-01", 2000).read_bytes()
    assert Path(tmp_path / "flat").stat().st_size == 8 << 20


def test_tells_what_happened(govc: Govc) -> None:
    govc("snapshot.create", "-vm", "web-02", "for-a-task")
    govc("snapshot.remove", "-vm", "web-02", "for-a-task")
    assert re.search(r"RemoveSnapshot\s+web-02\s+administrator@vsphere\.local .*success", govc("tasks"))
    assert "for-a-task" not in govc("tasks", "-l")
    assert "Task: CreateSnapshot" in govc("events", "-n", "50")
    mine = govc("events", "-l", "/DC1/vm/Test/Web/web-02")
    assert "[TaskEvent]" in mine and "logged in" not in mine
    assert "logged in as govc" in govc("events", "-type", "UserLoginSessionEvent")


def test_tells_sessions_pools_permissions_and_licences(sim: VCenterSimulator, govc: Govc) -> None:
    assert re.search(rf"{re.escape(sim.user)}\s.*\s\.\s", govc("session.ls"))
    assert "CPU Usage:" in govc("pool.info", "*/Resources")
    assert re.search(rf"Admin\s+/\s+{re.escape(sim.user)}", govc("permissions.ls"))
    assert "ReadOnly" in govc("role.ls")
    assert "eval" in govc("license.ls")
    govc("logs")


def test_exports_and_imports_a_machine(sim: VCenterSimulator, govc: Govc, tmp_path: Path) -> None:
    govc("export.ovf", "-vm", "web-01", "-sha", "256", "out")
    folder = tmp_path / "out" / "web-01"
    content = sim.disk_path("web-01", 2000).read_bytes()
    assert decode((folder / "web-01-disk-0.vmdk").read_bytes(), len(content)) == content
    assert (folder / "web-01.mf").read_text().count("SHA256(") == 2
    govc("import.ovf", "-ds", STORE, "-pool", "Compute/Resources", "-name", "back", str(folder / "web-01.ovf"))
    back = sim.machine("back")
    assert sim.disk_path("back", back.disks[0].key).read_bytes() == content
    assert (back.spec.cpus, back.spec.memory_mib, back.spec.guest_id) == (1, 1024, "debian12_64Guest")
    govc("vm.destroy", "back")


def test_a_package_without_its_disk_is_refused(sim: VCenterSimulator, govc: Govc, tmp_path: Path) -> None:
    text = describe_machine(sim.machine("web-01"), "half", [])
    missing = text.replace("</VirtualHardwareSection>", f"{DISK_ITEM}</VirtualHardwareSection>")
    (tmp_path / "half.ovf").write_text(missing)
    words = ("import.ovf", "-ds", STORE, "-pool", "Compute/Resources", str(tmp_path / "half.ovf"))
    assert "has no file or no controller" in govc(*words, fails=True)


def test_what_is_not_simulated_is_said(govc: Govc) -> None:
    assert "404" in govc("tags.ls", fails=True)  # the REST API
    assert "does not do" in govc("vm.clone", "-vm", "web-01", "-ds", STORE, "other", fails=True)


def test_names_that_need_care(tls: TlsFiles, tmp_path: Path) -> None:
    with VCenterSimulator(odd(), tmp_path / "sim", tls=tls, **QUICK) as sim:
        govc = client(sim, tmp_path)
        listed = govc("find", "/", "-type", "m").splitlines()
        assert {"/EU/DC1/vm/pay-01", "/US/DC1/vm/pay-01", "/US/DC1/vm/db.vmdk"} <= set(listed)
        for number, store in enumerate(("ssd+nvme 50%", "fra [ssd] 01")):
            name = f"off {number}+1"
            pattern = store.replace("[", r"\[").replace("]", r"\]")  # govc looks names up as patterns
            words = ("datastore.download", "-dc", "/EU/DC1", "-ds", pattern, f"{name}/{name}-flat.vmdk", "flat")
            if number:
                govc(*words)
                assert (tmp_path / "flat").read_bytes() == sim.disk_path(name, 2000).read_bytes()
            else:  # govc encodes the names once, and vCenter decodes them twice
                assert "404" in govc(*words, fails=True)


def test_wrong_password(sim: VCenterSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    govc = client(sim, tmp_path)
    monkeypatch.setattr(sim, "password", "other")
    assert "incorrect user name or password" in client(sim, tmp_path)("ls", fails=True)
    govc("ls")
