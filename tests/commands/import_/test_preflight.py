"""``vmie-tui preflight`` on files: findings, one clear line for what is none, and the exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vmie_tui.cli import main
from vmie_tui.commands.import_.command import allow
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Disk, Machine, Power
from vmie_tui.model.plan import ImportPlan, LicenseType, VmSource
from vmie_tui.model.preflight import markdown
from vmie_tui.operations.import_check import weigh
from vmie_tui.services.image_sources import describe_file
from vmie_tui.simulators.fleet import guests


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("images")
    for name in ("debian12-bios", "debian12-no-fstab"):
        guests.restore(name, made / f"{name}.raw")
    (made / "notes.txt").write_text("no disk image, only a few words of text in a file\n")
    (made / "cut.vmdk").write_bytes((made / "debian12-bios.raw").open("rb").read(5000))
    (made / "empty.raw").touch()
    (made / "folder").mkdir()
    os.mkfifo(made / "pipe")
    return made


def test_a_good_image_is_ready(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", str(folder / "debian12-bios.raw")]) == 0
    said = capsys.readouterr()
    assert "debian12-bios.raw: ready" in said.out
    assert "requests" in said.out
    assert said.err == ""


def test_a_blocker_is_exit_code_3_and_names_the_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(folder / f"{name}.raw") for name in ("debian12-bios", "debian12-no-fstab")]
    assert main(["preflight", *paths]) == 3
    out = capsys.readouterr().out
    assert out.index("debian12-bios.raw: ready") < out.index("debian12-no-fstab.raw: 1 blocker")
    assert "/etc/fstab is missing" in out
    assert "AWS would say: ClientError" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("notes.txt", "is a text file"),
        ("cut.vmdk", "named .vmdk"),
        ("empty.raw", "empty"),
        ("folder", "is a directory"),
        ("pipe", "is a pipe"),
        ("missing.vmdk", "there is no such file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    name: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preflight", str(folder / name)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert name in line
    assert words in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "secret.raw"
    path.write_bytes(bytes(512))
    path.chmod(0)
    assert main(["preflight", str(path)]) == 2
    assert "secret.raw" in capsys.readouterr().err


def test_one_wrong_target_does_not_hide_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("folder", "debian12-no-fstab.raw")
    assert main(["preflight", "--json", *(str(folder / name) for name in names)]) == 2
    (result,) = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "blocked"
    assert [f["fact"] for f in result["findings"] if f["severity"] == "blocker"] == ["F371"]
    assert result["guest"]["linux"]["os_id"] == "debian"
    assert result["requests"] <= 64


def test_the_checklist_of_an_image_ticks_only_what_its_disks_show(folder: Path) -> None:
    result = describe_file([folder / "debian12-no-fstab.raw"]).preflight
    seen = {item.id: item.tick.value for item in result.items}
    assert seen["GL1"] == "done"  # sshd
    assert seen["GP3"] == "cannot be seen"  # a CD-ROM is configuration
    text = markdown(result)
    assert "## Guest as seen" in text
    assert "Debian GNU/Linux 12" in text


@pytest.mark.parametrize(("route", "code"), [("image", 3), ("image-direct", 3), ("unmodified", 0), ("snapshot", 0)])
def test_the_route_decides_what_blocks(route: str, code: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "debian12-no-fstab.raw")
    assert main(["preflight", "--route", route, "--json", path]) == code
    (result,) = json.loads(capsys.readouterr().out)
    assert result["content_inspected"]
    assert any(finding["prevents"] for finding in result["findings"]) is bool(code)


def test_a_file_may_be_taken_as_raw(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "--raw-source", "--json", str(folder / "cut.vmdk")]) == 3  # it has no partitions
    (result,) = json.loads(capsys.readouterr().out)
    assert [disk["format"] for disk in result["disks"]] == ["raw"]


PLAN = ImportPlan("p", VmSource("vc", "vm-1", "old"), "eu-west-1", "some-bucket", license_type=LicenseType.BYOL)
OLD = Machine("vm-1", "old", guest_id="centosGuest", guest_name="CentOS 4/5 (32-bit)", disks=(Disk(1, "d", 1 << 30),))


def test_a_blocker_is_overridden_by_the_name_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServiceError) as raised:
        allow(weigh(PLAN, OLD))
    assert raised.value.kind is ErrorKind.REFUSED
    assert "--route unmodified" in str(raised.value)
    plan = allow(weigh(PLAN, OLD, {"old"}))
    assert plan.override
    assert "forced: old" in capsys.readouterr().err
    assert ImportPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("plan", "machine"),
    [
        (PLAN, Machine("vm-1", "old", guest_id="debian12_64Guest", power=Power.SUSPENDED, disks=OLD.disks)),
        (ImportPlan("p", PLAN.source, "eu-west-1", "Not A Bucket", license_type=LicenseType.BYOL), OLD),
        (ImportPlan("p", PLAN.source, "eu-west-1", "some-bucket", license_type=LicenseType.AWS), OLD),
    ],
    ids=["suspended", "bucket", "licence"],
)
def test_what_can_be_corrected_or_cannot_be_done_is_not_overridden(plan: ImportPlan, machine: Machine) -> None:
    with pytest.raises(ServiceError):
        allow(weigh(plan, machine, {"old"}))


def test_plans_of_earlier_versions_have_no_override() -> None:
    data = PLAN.to_json()
    del data["override"]
    assert ImportPlan.from_json(data) == PLAN
