"""Logging in to the simulated vCenter, and what happens without."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVim.connect import SmartConnect
from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl

from tests.kits.pyvmomi_client import QUICK, get, login, machine, read_all
from vmie_tui.simulators.control import TOKEN_HEADER, Fault, TlsFiles, make_tls
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture
def sim(tls: TlsFiles, tmp_path: Path) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(tiny(), tmp_path, tls=tls, **QUICK) as running:
        yield running


def test_login_tells_who_and_what(sim: VCenterSimulator) -> None:
    si = login(sim)
    assert si.content.about.apiType == "VirtualCenter"
    session = si.content.sessionManager.currentSession
    assert session.userName == sim.user
    assert si.content.sessionManager.SessionIsActive(session.key, sim.user)
    assert not si.content.sessionManager.SessionIsActive("nobody", sim.user)


def test_wrong_password_is_invalid_login(sim: VCenterSimulator) -> None:
    with pytest.raises(vim.fault.InvalidLogin, match="incorrect user name or password"):
        login(sim, "wrong")


def test_another_authority_is_not_trusted(sim: VCenterSimulator, tmp_path: Path) -> None:
    other = ssl.create_default_context(cafile=str(make_tls(tmp_path / "other").ca))
    with pytest.raises(ssl.SSLCertVerificationError):
        SmartConnect(host="localhost", port=sim.port, user=sim.user, pwd=sim.password, sslContext=other)


def test_without_login_nothing_is_read(sim: VCenterSimulator) -> None:
    si = login(sim)
    si.content.sessionManager.Logout()
    assert si.content.sessionManager.currentSession is None
    with pytest.raises(vim.fault.NotAuthenticated):
        read_all(si, vim.VirtualMachine, "name")


def test_an_idle_session_ends_and_takes_its_views_along(sim: VCenterSimulator) -> None:
    si = login(sim)
    content = si.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    sim.clock.advance(1799)
    assert len(view.view) == len(tiny().machines)
    sim.clock.advance(1801)
    with pytest.raises(vim.fault.NotAuthenticated):
        _ = view.view
    assert view._moId not in sim.center.registry.objects


def test_sessions_are_capped(sim: VCenterSimulator) -> None:
    sim.options.max_sessions = 1
    login(sim)
    with pytest.raises(Exception, match="503"):
        login(sim)


def test_views_belong_to_their_session(sim: VCenterSimulator) -> None:
    mine, other = login(sim), login(sim)
    content = mine.content
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    stolen = vim.view.ContainerView(view._moId, other._stub)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = stolen.view


def test_unknown_methods_and_objects_give_faults(sim: VCenterSimulator) -> None:
    si = login(sim)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        vim.VirtualMachine("vm-99999", si._stub).PowerOn()
    with pytest.raises(vmodl.fault.NotSupported):
        machine(si, "web-01").ResetVM_Task()


@pytest.mark.parametrize("body", [b"", b"<a>", b"<a/>", b"not xml"])
def test_rubbish_gets_a_fault_and_no_traceback(sim: VCenterSimulator, body: bytes) -> None:
    import http.client

    connection = http.client.HTTPSConnection(
        "localhost", sim.port, context=ssl.create_default_context(cafile=str(sim.tls.ca))
    )
    connection.request("POST", "/sdk", body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 500
    assert "InvalidRequestFault" in text
    assert "Traceback" not in text


def test_no_method_fails_for_want_of_arguments(sim: VCenterSimulator, caplog: pytest.LogCaptureFixture) -> None:
    login(sim)
    cookie = f'vmware_soap_session="{next(iter(sim.sessions._by_cookie))}"'
    objects = {managed.kind: managed for managed in sim.center.registry.objects.values()}
    asked = 0
    for name in sorted(sim.dispatcher._methods):
        if name in ("Logout", "WaitForUpdates", "WaitForUpdatesEx"):  # these two would wait
            continue
        info = VmomiSupport.GetWsdlMethod("urn:vim25", name).info
        for kind, managed in objects.items():
            if issubclass(kind, info.type):
                this = f'<_this type="{kind._wsdlName}">{managed.moid}</_this>'
                text = f'{SoapAdapter.SOAP_START}<{name} xmlns="urn:vim25">{this}</{name}>{SoapAdapter.SOAP_END}'
                answer = sim.dispatcher.answer(text.encode(), cookie.split('"')[1], "127.0.0.1", "")
                assert b"SystemErrorFault" not in answer.body, (name, answer.body)
                asked += 1
    assert asked > 30
    assert not caplog.records


def test_faults_on_request(sim: VCenterSimulator) -> None:
    si = login(sim)
    vm = machine(si, "web-01")
    sim.faults.add(Fault("ExportVm", code="NoPermission", match="web-01", message="not you"))
    with pytest.raises(vim.fault.NoPermission, match="not you"):
        vm.ExportVm()
    sim.faults.add(Fault("CurrentTime", action="expire"))
    with pytest.raises(vim.fault.NotAuthenticated):
        (si.CurrentTime(), read_all(si, vim.VirtualMachine, "name"))


def test_an_expired_session_can_show_as_missing_properties(sim: VCenterSimulator) -> None:
    si = login(sim)
    sim.faults.add(Fault("RetrievePropertiesEx", action="missing", match="web-01"))
    found = {one.obj._moId: one for one in read_all(si, vim.VirtualMachine, "name", "config.uuid")}
    odd = found[sim.machine("web-01").moid]
    assert not odd.propSet
    assert {type(one.fault) for one in odd.missingSet} == {vim.fault.NotAuthenticated}
    assert all(one.propSet for moid, one in found.items() if moid != odd.obj._moId)


def test_reset_connections_do_not_answer(sim: VCenterSimulator) -> None:
    si = login(sim)
    sim.faults.add(Fault("CurrentTime", action="reset", times=None))
    with pytest.raises(ConnectionResetError):
        si.CurrentTime()


def test_the_controls_count_set_and_refuse(sim: VCenterSimulator) -> None:
    login(sim)
    token = {TOKEN_HEADER: sim.gate.token}
    status, _, body = get(sim, "https://x/_sim/stats", **token)
    assert (status, json.loads(body)["requests"]["Login"]) == (200, 1)
    status, _, body = get(sim, "https://x/_sim/disks?vm=db-01", **token)
    assert [(disk["key"], Path(disk["path"]).stat().st_size) for disk in json.loads(body)["disks"]] == [
        (2000, 12 << 20),
        (2001, 5 << 20),
    ]
    assert get(sim, "https://x/_sim/disks?vm=nobody", **token)[0] == 400
    assert get(sim, "https://x/_sim/nothing", **token)[0] == 404
