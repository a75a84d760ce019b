"""The operating system the simulated import sees on the demo's disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmie_tui.simulators.aws.os_guess import guess
from vmie_tui.simulators.fleet.guests import index, restore


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("debian12-bios", "Linux"),
        ("ubuntu2204-uefi", "Linux"),
        ("rhel8-lvm", "Linux"),
        ("ws2019-bios", "Windows"),
        ("ws2022-uefi", "Windows"),
        ("wiped", ""),
        ("gpt-bad-checksums", ""),
    ],
)
def test_the_system_on_a_disk_is_recognised(tmp_path: Path, name: str, system: str) -> None:
    assert name in index()
    restore(name, tmp_path / "disk")
    assert guess([tmp_path / "disk"]) == system
