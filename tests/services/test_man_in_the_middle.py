"""A man in the middle with another certificate is refused on every connection, before he reads one byte."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import vmie_tui
from tests.kits.aws_world import BUCKET, PART, REGION, Control, Source, content, settings_for, store_for, world
from tests.kits.man_in_the_middle import Man, between
from tests.kits.vcenter_session import log_in, named
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.s3.resumable_upload import UploadRequest
from vmie_tui.services.aws.session import BLOCKS, EXPLORE, Aws, open_session
from vmie_tui.services.vsphere.datastore.range_reader import open_datastore_disk
from vmie_tui.services.vsphere.nfc.disk_upload import DiskUpload
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease
from vmie_tui.services.vsphere.nfc.nfc_lease import DataPlace
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.tls import Trust
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles, make_tls
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for the same names, by another authority."""
    return make_tls(tmp_path_factory.mktemp("other"))


Interpose = Callable[[int], AbstractContextManager[Man]]


@pytest.fixture
def interpose(other: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> Interpose:
    return lambda port: between(other, port, monkeypatch)


def refused(man: Man, call: Callable[[], object]) -> None:
    with pytest.raises(ServiceError) as caught:
        call()
    assert caught.value.kind is ErrorKind.TLS, caught.value
    assert caught.value.problem.remedy
    assert man.met >= 1, "nobody came by"
    assert bytes(man.read) == b""


def test_the_man_can_read_where_he_is_trusted(vcenter: VCenterSimulator, other: TlsFiles, interpose: Interpose) -> None:
    """The tests below can fail: he passes everything on, and sees the password."""
    with interpose(vcenter.port) as man, log_in(vcenter, ca_file=other.ca) as vsphere:
        assert vsphere.alive()
        assert vcenter.password.encode() in man.read


# -- vCenter and hosts


@pytest.mark.parametrize("trust", ["authority", "thumbprint", "thumbprint_sha256"])
def test_vcenter(vcenter: VCenterSimulator, interpose: Interpose, trust: str) -> None:
    pinned = {"ca_file": None, "thumbprint": getattr(vcenter, trust)} if trust != "authority" else {}
    with interpose(vcenter.port) as man:
        refused(man, lambda: log_in(vcenter, **pinned))
    with log_in(vcenter, **pinned) as vsphere:
        vsphere.stub.DropConnections()
        with interpose(vcenter.port) as man:  # he comes in the middle of a session
            refused(man, lambda: named(vsphere, "web-01"))


@pytest.mark.parametrize("trust", ["authority", "thumbprint"])
def test_files_on_a_datastore(vcenter: VCenterSimulator, interpose: Interpose, trust: str) -> None:
    pinned = {"ca_file": None, "thumbprint": vcenter.thumbprint} if trust == "thumbprint" else {}
    with log_in(vcenter, **pinned) as vsphere:
        vm = named(vsphere, "web-01")
        with interpose(vcenter.port) as man:
            refused(man, lambda: open_datastore_disk(vsphere, vm, vm.disks[0]))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "*"])
def test_disks_from_a_host(
    vcenter: VCenterSimulator,
    vsphere: VSphere,
    interpose: Interpose,
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
    host: str,
) -> None:
    """With the thumbprint that vCenter tells of the host, and by authority where it tells none."""
    vcenter.options.nfc_host = host
    if not told:
        monkeypatch.setattr(vcenter.center, "thumbprint", "")
    with ExportLease(vsphere, named(vsphere, "web-01").moid) as lease:
        (disk,) = lease.disks
        with interpose(urlsplit(disk.url).port or vcenter.port) as man:
            refused(man, lambda: lease.open(disk))
        lease.open(disk).close()


def test_disks_to_a_host(vcenter: VCenterSimulator, interpose: Interpose) -> None:
    for trust in (Trust(ca_file=vcenter.tls.ca), Trust(thumbprint=vcenter.thumbprint)):
        with interpose(vcenter.port) as man:
            refused(man, lambda trust=trust: DiskUpload(DataPlace("localhost", vcenter.port, "/x", trust, "")))


# -- AWS


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwsSimulator, AwsSettings]]:
    folder = tmp_path_factory.mktemp("aws")
    with world(tls, folder) as (simulator, _):
        yield simulator, settings_for(simulator, tls, folder)


def _upload(aws: Aws) -> object:
    return store_for(aws).upload(
        UploadRequest(BUCKET, "a/key", size_hint=PART), Source(content(1000)), control=Control()
    )


CALLS: dict[str, Callable[[Aws], object]] = {
    "sts": lambda aws: aws.identity(),
    "ec2": lambda aws: _call(lambda: aws.client("ec2").describe_images(Owners=["self"])),
    "explore": lambda aws: _call(lambda: aws.client(EXPLORE).describe_regions()),
    "iam": lambda aws: _call(lambda: aws.client("iam").get_role(RoleName="vmimport")),
    "s3": lambda aws: store_for(aws).check_bucket(BUCKET),
    "s3 upload": _upload,
    "ebs write": lambda aws: _call(lambda: aws.client(BLOCKS).start_snapshot(VolumeSize=1)),
    "ebs read": lambda aws: SnapshotReader(aws, REGION, "snap-0123456789abcdef0").__enter__(),
}


def _call(work: Callable[[], Any]) -> Any:
    from vmie_tui.services.aws.errors import aws_call

    with aws_call("ask"):
        return work()


@pytest.mark.parametrize("name", CALLS)
def test_aws(shared: tuple[AwsSimulator, AwsSettings], interpose: Interpose, name: str) -> None:
    simulator, settings = shared
    aws = open_session(settings)
    try:
        with interpose(urlsplit(simulator.url).port or 0) as man:
            refused(man, lambda: CALLS[name](aws))
    finally:
        aws.close()


def test_a_proxy_with_an_authority_of_its_own(
    shared: tuple[AwsSimulator, AwsSettings],
    other: TlsFiles,
    tls: TlsFiles,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A company's proxy that opens TLS: refused, until ca_bundle names its authority."""
    simulator, settings = shared
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(f"[profile corp]\nendpoint_url = {simulator.url}\n")
    assert settings.credentials_file is not None
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(settings.credentials_file))
    settings.credentials_file.write_text(settings.credentials_file.read_text().replace("[default]", "[corp]"))
    proxy = Man(other, urlsplit(simulator.url).port or 0, connect=True)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    try:
        through = AwsSettings(profile="corp", region=REGION, ca_bundle=tls.ca)
        refused(proxy, lambda: open_session(through).identity())
        aws = open_session(replace(through, ca_bundle=other.ca))
        assert aws.identity().account == simulator.account
        _upload(aws)
        assert b"GetCallerIdentity" in proxy.read
        aws.close()
    finally:
        proxy.close()
        settings.credentials_file.write_text(settings.credentials_file.read_text().replace("[corp]", "[default]"))


# -- and nothing goes round these


UNSAFE = {"CERT_NONE", "_create_unverified_context", "HTTPSConnection", "HTTPConnection", "urlopen"}
CLIENTS = {"requests", "httpx", "aiohttp", "urllib.request", "ftplib"}
SUSPECT = UNSAFE | CLIENTS | {"verify=", "check_hostname"}


def test_connections_are_made_in_these_places_only() -> None:
    """TLS without verification exists where a pin is compared instead; other clients of HTTP exist nowhere."""
    root = Path(vmie_tui.__file__).parent
    found: set[str] = set()
    for path in root.rglob("*.py"):
        text = path.read_text()
        if "simulators" in path.parts or not any(word in text for word in SUSPECT):
            continue
        for node in ast.walk(ast.parse(text)):
            names = _names(node)
            if names & UNSAFE or (
                isinstance(node, ast.keyword)
                and node.arg in {"verify", "check_hostname"}
                and isinstance(node.value, ast.Constant)
                and node.value.value is False
            ):
                found.add(str(path.relative_to(root)))
            if names & CLIENTS and isinstance(node, ast.Import | ast.ImportFrom):
                found.add(str(path.relative_to(root)))
    assert found == {"services/vsphere/tls.py"}


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module or ""}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    return {node.id} if isinstance(node, ast.Name) else set()
