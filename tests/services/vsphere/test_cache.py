"""The kept inventory: what is written comes back, and nothing damaged does."""

from __future__ import annotations

import gc
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vmie_tui.gc_pause import collector_paused
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Backing, Disk, Firmware, Inventory, Machine, Nic, Power, VCenterInfo
from vmie_tui.services.vsphere.cache import BATCH, cache_file, load_cached, save_cached
from vmie_tui.settings import VCenterSettings

SETTINGS = VCenterSettings("vcenter.corp", "ops@vsphere.local")
MACHINE = Machine(
    "vm-12",
    "wéb/01",
    folder=("Prod", "Web"),
    power=Power.ON,
    firmware=Firmware.UEFI,
    disks=(Disk(2000, "Hard disk 1", 10 << 30, backing=Backing.RDM, thin=None), Disk(2001, "Hard disk 2", 512)),
    nics=(Nic("Network adapter 1", addresses=("10.0.0.1", "fe80::1"), dhcp=False),),
)
INVENTORY = Inventory(
    VCenterInfo("vcenter.corp", "VMware vCenter Server 8.0.3", "8.0.3", "uuid", "ops"),
    datetime(2026, 11, 21, 7, 0, tzinfo=UTC),
    (MACHINE, replace(MACHINE, moid="vm-13", disks=(), nics=())),
    unreadable=3,
)


def test_round_trip(tmp_path: Path) -> None:
    save_cached(tmp_path / "cache", SETTINGS, INVENTORY)
    assert load_cached(tmp_path / "cache", SETTINGS) == INVENTORY


def test_only_the_owner_may_read_it_and_no_scraps_stay(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for _ in range(2):
        save_cached(folder, SETTINGS, INVENTORY)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_each_user_and_vcenter_has_its_own(tmp_path: Path) -> None:
    save_cached(tmp_path, SETTINGS, INVENTORY)
    assert load_cached(tmp_path, replace(SETTINGS, host="VCENTER.corp")) == INVENTORY
    for other in (replace(SETTINGS, user="x"), replace(SETTINGS, host="y"), replace(SETTINGS, port=444)):
        assert load_cached(tmp_path, other) is None


def test_many_lines(tmp_path: Path) -> None:
    many = replace(INVENTORY, machines=tuple(replace(MACHINE, moid=f"vm-{n}") for n in range(2 * BATCH + 1)))
    save_cached(tmp_path, SETTINGS, many)
    assert load_cached(tmp_path, SETTINGS) == many
    save_cached(tmp_path, SETTINGS, replace(INVENTORY, machines=()))
    assert load_cached(tmp_path, SETTINGS) == replace(INVENTORY, machines=())


@pytest.mark.parametrize(
    "damage", ["empty", "half", "line", "list", "row", "layout", "format", "binary", "power", "naive"]
)
def test_damage_is_no_inventory(tmp_path: Path, damage: str) -> None:
    save_cached(tmp_path, SETTINGS, INVENTORY)
    file = cache_file(tmp_path, SETTINGS)
    text = file.read_text()
    head, rows = (json.loads(line) for line in text.splitlines())
    raw = {"empty": "", "half": text[: len(text) // 2], "list": "[]\n", "line": text.partition("\n")[0] + "\n"}
    match damage:
        case "row":
            rows[0] = rows[0][:4]
        case "layout":
            head["layout"]["disk"].append("shape")
        case "format":
            head["format"] += 1
        case "power":
            rows[0][head["layout"]["machine"].index("power")] = "humming"
        case "naive":
            head["taken_at"] = "2026-11-21T07:00:00"
    file.write_text(raw.get(damage, f"{json.dumps(head)}\n{json.dumps(rows)}\n"))
    if damage == "binary":
        file.write_bytes(b"\xff\xfe")
    assert load_cached(tmp_path, SETTINGS) is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match="the folder cannot be used") as caught:
        save_cached(tmp_path / "file", SETTINGS, INVENTORY)
    assert caught.value.kind is ErrorKind.LOCAL


def test_the_collector_rests_while_values_are_built_and_works_again(tmp_path: Path) -> None:
    save_cached(tmp_path, SETTINGS, INVENTORY)
    with collector_paused():
        with pytest.raises(ZeroDivisionError), collector_paused():
            raise ZeroDivisionError
        assert load_cached(tmp_path, SETTINGS) == INVENTORY
        assert not gc.isenabled()
    assert gc.isenabled()
    kept = load_cached(tmp_path, SETTINGS)
    assert kept is not None
    assert not any(item is kept.machines[0] for item in gc.get_objects())
