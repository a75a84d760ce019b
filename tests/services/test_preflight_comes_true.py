"""What preflight says AWS would say is what the simulated AWS says, when the import is forced through."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.aws_clients import Kit, running
from vmie_tui.model.finding import Severity
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.services.image_sources import describe_file
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet import guests


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("preflight")) as kit:
        yield kit


def stream(name: str, folder: Path) -> Path:
    guests.restore(name, folder / "disk.raw")
    out = io.BytesIO()
    with RawFile(folder / "disk.raw") as raw:
        encode(raw, out.write)
    path = folder / f"{name}.vmdk"
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize(
    "name", ["debian12-bad-initrd", "dual-boot", "rhel8-lvm-missing", "debian12-luks", "ws2016-troubled", "wiped"]
)
def test_a_blocked_disk_fails_with_the_error_that_was_named(name: str, kit: Kit, tmp_path: Path) -> None:
    path = stream(name, tmp_path)
    found = describe_file([path]).preflight
    named = [f.prevents for f in found.findings if f.severity is Severity.BLOCKER and f.prevents]
    assert named
    kit.put(path.name, path.read_bytes())
    task = kit.ended(kit.import_image(path.name)["ImportTaskId"])
    assert task["Status"] == "deleted"
    assert task["StatusMessage"] == named[0]


def test_the_same_disk_is_taken_as_a_snapshot(kit: Kit, tmp_path: Path) -> None:
    path = stream("debian12-no-fstab", tmp_path)
    kit.put(path.name, path.read_bytes())
    assert kit.ended(kit.import_snapshot(path.name)["ImportTaskId"])["Status"] == "completed"
    assert kit.ended(kit.import_image(path.name)["ImportTaskId"])["Status"] == "deleted"
