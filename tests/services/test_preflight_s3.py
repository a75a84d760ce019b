"""A look into disk images that lie in S3: the same findings as from the file, in few requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, world
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Severity
from vmie_tui.services.aws.s3.range_reader import S3Object
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.guest.inspect import inspect
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet import guests


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwsSimulator, Aws]]:
    with world(tls, tmp_path_factory.mktemp("world")) as found:
        yield found


def put(aws: Aws, key: str, content: bytes) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)


@pytest.mark.parametrize("name", ["debian12-bad-fstab", "ws2016-troubled", "rhel8-lvm-missing"])
def test_an_object_gives_the_findings_of_its_guest(name: str, aws: tuple[AwsSimulator, Aws], tmp_path: Path) -> None:
    simulator, session = aws
    guests.restore(name, tmp_path / "disk.raw")
    stream = bytearray()
    with RawFile(tmp_path / "disk.raw") as raw:
        encode(raw, stream.extend)
    put(session, f"{name}.vmdk", bytes(stream))
    before = simulator.stats["s3:GetObject"]
    with open_disk(S3Object(session, BUCKET, f"{name}.vmdk")) as disk:
        report = inspect([disk])
    found = {finding.rule for finding in report.findings if finding.severity > Severity.INFO}
    assert found == set(guests.index()[name].expect)
    asked = simulator.stats["s3:GetObject"] - before
    assert asked == report.requests <= 64
    assert report.bytes_read <= 4 << 20


def test_a_missing_key_is_named(aws: tuple[AwsSimulator, Aws]) -> None:
    with pytest.raises(ServiceError) as raised:
        S3Object(aws[1], BUCKET, "no/such.vmdk")
    assert raised.value.kind is ErrorKind.NOT_FOUND
    assert raised.value.problem.subject == f"s3://{BUCKET}/no/such.vmdk"


def test_an_object_replaced_meanwhile_is_noticed(aws: tuple[AwsSimulator, Aws]) -> None:
    put(aws[1], "changing.raw", bytes(1000))
    source = S3Object(aws[1], BUCKET, "changing.raw")
    assert source.read_at(990, 100) == bytes(10)
    assert source.read_at(1000, 100) == b""
    put(aws[1], "changing.raw", b"x" * 1000)
    with pytest.raises(ServiceError) as raised:
        source.read_at(0, 100)
    assert raised.value.kind is ErrorKind.CONFLICT
    assert raised.value.problem.retry_safe
