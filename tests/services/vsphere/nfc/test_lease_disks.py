"""Which disk of the machine a lease's file is, and where it is fetched from."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import vim

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Disk
from vmie_tui.services.vsphere.hardware import Attachment, Hardware
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease, LeaseDisk
from vmie_tui.services.vsphere.nfc.nfc_lease import thumbprint_at
from vmie_tui.services.vsphere.tls import thumbprint_of
from vmie_tui.settings import VCenterSettings
from vmie_tui.simulators.control import TlsFiles

PVSCSI, SATA = "ParaVirtualSCSIController", "VirtualAHCIController"
DISKS = (
    Disk(2000, "Hard disk 1", 10 << 30),
    Disk(2016, "Hard disk 2", 20 << 30, mode="independent_persistent"),
    Disk(16000, "Hard disk 3", 30 << 30),
)
PLACES = {2000: Attachment(PVSCSI, 0, 0), 2016: Attachment(PVSCSI, 1, 0), 16000: Attachment(SATA, 0, 0)}


def url(key: str, import_key: str = "", **more: Any) -> Any:
    values = {"url": "https://*/nfc/52c/disk.vmdk", "sslThumbprint": "", "disk": True, "targetId": "disk.vmdk", **more}
    return vim.HttpNfcLease.DeviceUrl(key=key, importKey=import_key, **values)


def offered(*urls: Any, snapshot: str | None = None, host: str = "vcenter.corp") -> tuple[LeaseDisk, ...]:
    session: Any = SimpleNamespace(settings=VCenterSettings(host, "ops"))
    return ExportLease(session, "vm-12", snapshot_moid=snapshot)._match(urls, Hardware(DISKS, attachments=PLACES))


def test_the_key_tells_the_disk_whatever_the_order() -> None:
    found = offered(
        url(f"/vm-12/{SATA}0:0"),
        url(f"/vm-12/{PVSCSI}1:0"),
        url("/vm-12/nvram", disk=False),
        url(f"/vm-12/{PVSCSI}0:0"),
    )
    assert [(disk.device_key, disk.label, disk.capacity >> 30) for disk in found] == [
        (16000, "Hard disk 3", 30),
        (2016, "Hard disk 2", 20),
        (2000, "Hard disk 1", 10),
    ]


def test_the_import_key_helps_when_the_key_says_nothing() -> None:
    found = offered(*(url(str(n), f"/web-01/{PLACES[k].controller}{PLACES[k].bus}:0") for n, k in enumerate(PLACES)))
    assert [disk.device_key for disk in found] == [2000, 2016, 16000]


def test_unknown_names_are_taken_in_device_order() -> None:
    assert [disk.device_key for disk in offered(url("a"), url("b"), url("c"))] == [2000, 2016, 16000]


def test_a_snapshot_leaves_independent_disks_out() -> None:
    assert [disk.device_key for disk in offered(url("a"), url("b"), snapshot="snapshot-1")] == [2000, 16000]


def test_too_few_unknown_names_are_not_guessed() -> None:
    with pytest.raises(ServiceError, match=r"offers 2 disks where the machine has 3, .*: a, b") as caught:
        offered(url("a"), url("b"))
    assert caught.value.kind is ErrorKind.REMOTE


def test_a_file_that_does_not_say_whether_it_is_a_disk_is_judged_by_its_name() -> None:
    assert len(offered(*(url(n, disk=None) for n in "abc"), url("d", disk=None, targetId="x.nvram"))) == 3


def test_hosts() -> None:
    def one(address: str, host: str = "vcenter.corp") -> str:
        return offered(url("a", url=address), url("b"), url("c"), host=host)[0].url

    assert one("https://*/nfc/52c/disk-0.vmdk") == "https://vcenter.corp:443/nfc/52c/disk-0.vmdk"
    assert one("https://*:8443/nfc/d?x=1") == "https://vcenter.corp:8443/nfc/d?x=1"
    assert one("https://*/nfc/d", "fd00::1") == "https://[fd00::1]:443/nfc/d"
    assert one("https://esx-01.corp/nfc/d") == "https://esx-01.corp/nfc/d"
    with pytest.raises(ServiceError, match="without TLS"):
        one("http://*/nfc/d")


def test_the_sha_256_of_the_certificate_is_pinned_where_vcenter_tells_it(tls: TlsFiles) -> None:
    pem = tls.chain.read_text()
    leaf, authority = pem[: pem.index("-----END") + 26], tls.ca.read_text()
    der = ssl.PEM_cert_to_DER_cert(leaf)
    sha256, sha1 = thumbprint_of(der), thumbprint_of(der, 40)
    cases = [
        ({"sslCertificate": leaf}, sha256),
        ({"sslCertificate": leaf, "sslThumbprint": sha1}, sha256),
        ({"sslCertificate": f"{authority}\n{leaf}\n", "sslThumbprint": sha1.lower()}, sha256),
        ({"sslCertificate": f"text\n{leaf}{authority}"}, sha256),
        ({"sslCertificate": leaf, "sslThumbprint": "AA:BB"}, sha256),
        ({"sslThumbprint": sha1}, sha1),
        ({"sslCertificate": "", "sslThumbprint": sha1}, sha1),
        ({"sslCertificate": "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----", "sslThumbprint": sha1}, sha1),
        ({}, ""),
    ]
    assert [thumbprint_at(url("a", **more)) for more, _ in cases] == [expected for _, expected in cases]
    found = offered(url("a", sslCertificate=leaf), url("b", sslThumbprint="AA:BB"), url("c"))
    assert [disk.thumbprint for disk in found] == [sha256, "AA:BB", ""]
