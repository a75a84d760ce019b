"""The same verdict whatever container a guest comes in, and within the same budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kits.disk_containers import Memory, ova, vhd_dynamic, vhd_footer, vhdx, vmdk_sparse, vmdk_stream
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.guest.inspect import GuestReport, inspect
from vmie_tui.services.disks.streams.ranges import MAX_BYTES, MAX_REQUESTS
from vmie_tui.services.disks.streams.source import DiskSource, RawFile
from vmie_tui.simulators.fleet import guests

IN_MEMORY: dict[str, Callable[[DiskSource], bytes]] = {
    "vmdk-stream": vmdk_stream,
    "vmdk-sparse": vmdk_sparse,
    "vhd-dynamic": vhd_dynamic,
    "vhdx": vhdx,
    "ova": lambda disk: ova({"vm.ovf": b"<Envelope/>", "vm-disk1.vmdk": vmdk_stream(disk)}),
}


def fixed_vhd(path: Path) -> Path:
    """The raw disk becomes a fixed VHD by the footer behind it; its holes stay."""
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(vhd_footer(size, 2))
    return path.rename(path.with_suffix(".vhd"))


@pytest.mark.parametrize("name", sorted(guests.index()))
def test_every_container_gives_the_same_verdict(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    guests.restore(name, path)
    reports: dict[str, GuestReport] = {}
    with RawFile(path) as raw:
        reports["raw"] = inspect([raw])
        for container, write in IN_MEMORY.items():
            with open_disk(Memory(write(raw))) as disk:
                reports[container] = inspect([disk])
    with open_disk(fixed_vhd(path)) as disk:
        reports["vhd-fixed"] = inspect([disk])
    for container, report in reports.items():
        assert report.findings == reports["raw"].findings, container
        assert report.facts == reports["raw"].facts, container
        assert report.requests <= MAX_REQUESTS, container
        assert report.bytes_read <= MAX_BYTES, container
