"""How the simulated ImportImage finds a guest to boot, when the request does not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmie_tui.simulators.aws.guest_check import boot_mode
from vmie_tui.simulators.fleet import guests


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("ubuntu2204-uefi", "uefi"),
        ("ws2022-uefi", "uefi"),
        ("debian12-bios", "legacy-bios"),
        ("ws2019-bios", "legacy-bios"),
        ("tiny-linux", "legacy-bios"),
    ],
)
def test_the_boot_mode_is_read_off_the_disks(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / "disk.raw"
    guests.restore(name, path)
    assert boot_mode([(path, path.stat().st_size)]) == mode
