"""qemu-img reads strangers' images under limits, and is ended with the work that waits for it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.services.disks.formats import qemu


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A qemu-img that does what is written into it."""
    program = tmp_path / "bin" / "qemu-img"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def does(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def run(folder: Path, size: int = 0) -> None:
    qemu.convert(folder / "in.qcow2", "qcow2", folder / "out.raw", "raw", size=size, progress=lambda done, total: None)


def test_the_limits_are_set(pretend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for strangers")
    does(pretend, f"ulimit -a > {tmp_path}/limits; env > {tmp_path}/env; ulimit -t > {tmp_path}/cpu")
    run(tmp_path, size=100 << 20)
    assert int((tmp_path / "cpu").read_text()) == qemu.CPU_SECONDS + 2
    limits = (tmp_path / "limits").read_text()
    assert str(qemu.MEMORY >> 10) in limits  # in KiB
    assert "not for strangers" not in (tmp_path / "env").read_text()


def test_one_that_spins_is_ended(pretend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "CPU_SECONDS", 1)
    does(pretend, "while :; do :; done")
    with pytest.raises(ServiceError, match="could not finish") as raised:
        run(tmp_path)
    assert raised.value.kind is ErrorKind.CORRUPT
    assert "1 seconds of processor time" in raised.value.problem.detail
    assert raised.value.problem.subject == str(tmp_path / "in.qcow2")


def test_one_that_writes_more_than_the_disk_is_ended(
    pretend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "ROOM", 4096)
    does(pretend, f"exec dd if=/dev/zero of={tmp_path}/out.raw bs=65536 count=100")
    with pytest.raises(ServiceError):
        run(tmp_path)
    assert (tmp_path / "out.raw").stat().st_size <= 4096


def test_one_that_says_nothing_can_be_cancelled(pretend: Path, tmp_path: Path) -> None:
    does(pretend, f"echo $$ > {tmp_path}/pid; exec sleep 600")

    def cancel(done: int, total: int) -> None:
        if (tmp_path / "pid").exists():
            raise Cancelled

    with pytest.raises(Cancelled):
        qemu.convert(tmp_path / "in.qcow2", "qcow2", tmp_path / "out.raw", "raw", size=0, progress=cancel)
    pid = (tmp_path / "pid").read_text().strip()
    assert not pid or not Path(f"/proc/{pid}").exists()
