"""``make fuzz`` finds what it looks for, and damages the same images in the same way again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tools import fuzz_images
from tools.fuzz_images import Fuzz, damaged, damaged_guest
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.sandbox.client import UnfinishedError
from vmie_tui.simulators.fleet import guests


def fuzz(tmp_path: Path) -> Fuzz:
    return Fuzz(tmp_path / "kept", random.Random(1))


@pytest.mark.parametrize("length", [1, 2, 512, 70_000])
def test_damage_is_told_by_its_seed_alone(length: int) -> None:
    for seed in range(200):
        one, two = bytearray(length), bytearray(length)
        assert damaged(one, random.Random(seed)) == damaged(two, random.Random(seed))
        assert one == two


def test_a_guest_is_damaged_in_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "guest.raw"
    guests.restore("tiny-linux", path)
    before, size = path.read_bytes(), path.stat().st_size
    for seed in range(5):
        assert damaged_guest(path, random.Random(seed))
    assert path.stat().st_size == size
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ServiceError(ErrorKind.CORRUPT, "is damaged"), False),
        (UnfinishedError(ErrorKind.CORRUPT, "reading it took more than 5 seconds"), True),
        (KeyError("x"), True),
    ],
)
def test_only_an_error_in_words_is_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, found: bool
) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(bytes(1 << 20))

    def fails(_paths: object) -> None:
        raise error

    monkeypatch.setattr(fuzz_images.image_sources, "describe_file", fails)
    run = fuzz(tmp_path)
    run.look(image, "nothing")
    assert bool(run.findings) is found
    assert len(list(tmp_path.glob("kept/*.raw"))) == int(found)


def test_other_bytes_than_qemu_img_reads_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, ours = tmp_path / "a.vmdk", tmp_path / "ours.raw"
    image.write_bytes(b"x")
    ours.write_bytes(b"ours")

    def theirs(*command: str | Path) -> bool:
        Path(command[-1]).write_bytes(b"them")
        return True

    monkeypatch.setattr(fuzz_images, "_run", theirs)
    run = fuzz(tmp_path)
    run._compare(image, "nothing", ours)
    assert "other bytes than qemu-img" in run.findings[0]
    ours.write_bytes(b"them")
    run._compare(image, "nothing", ours)
    assert len(run.findings) == 1
