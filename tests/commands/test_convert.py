"""`vmie-tui convert`: what it refuses, in which words, and that nothing is left behind."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kits.disk_containers import Memory, ova, vhd_dynamic, vhdx, vmdk_stream
from tests.kits.disk_images import content, names, needs_qemu
from tests.kits.waiting import wait_until
from vmie_tui.cli import main
from vmie_tui.commands.convert import Meter
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.convert import Format, Request, convert
from vmie_tui.services.disks.formats import qemu

DISK = Memory(content(1, 300_000).ljust(1 << 20, b"\0"))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(DISK.data)
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run the command, which must fail in one line; that line."""
    capsys.readouterr()
    assert main(["convert", *map(str, words)]) in {EXIT_FAILED, EXIT_USAGE}
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def test_a_conversion_tells_what_it_did(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(raw), str(tmp_path / "d.vmdk"), "--json"]) == EXIT_OK
    said = capsys.readouterr()
    done = json.loads(said.out)
    assert (done["format"], done["capacity"], done["source_format"]) == ("vmdk", 1 << 20, "raw")
    assert said.err == ""
    assert main(["convert", str(tmp_path / "d.vmdk"), str(tmp_path / "e.vhd")]) == EXIT_OK
    assert done["disk_sha256"] in capsys.readouterr().out


def test_the_destination_is_safe(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.vmdk"
    kept.write_text("precious")
    assert "--force" in refused(capsys, raw, kept)
    assert kept.read_text() == "precious"
    assert main(["convert", str(raw), str(kept), "--force"]) == EXIT_OK
    assert kept.read_bytes()[:4] == b"KDMV"
    link = tmp_path / "link.raw"
    link.symlink_to(raw)
    for same in (raw, link, tmp_path / "." / "disk.raw"):
        assert "same file" in refused(capsys, raw, same, "--force")
    assert "is a directory" in refused(capsys, raw, tmp_path, "--format", "raw", "--force")
    assert "no such directory" in refused(capsys, raw, tmp_path / "none" / "d.raw")
    assert "--format" in refused(capsys, raw, tmp_path / "name")
    assert "no such file" in refused(capsys, tmp_path / "none.raw", tmp_path / "d.vmdk")
    assert raw.read_bytes() == DISK.data


def test_an_extent_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat, text = tmp_path / "d-flat.vmdk", tmp_path / "d.vmdk"
    flat.write_bytes(DISK.data)
    text.write_text('# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 2048 FLAT "d-flat.vmdk" 0\n')
    assert "same file" in refused(capsys, text, flat, "--force")
    assert flat.read_bytes() == DISK.data


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (vhd_dynamic(DISK, 4), "Footers not identical"),
        (vhdx(DISK, flags=2), "difference to its parent"),
        (vhdx(DISK, log=b"l" * 16), "was not closed properly"),
        (vmdk_stream(DISK)[:-2048], ""),
        (vmdk_stream(DISK).replace(b"parentCID=ffffffff", b"parentCID=12345678"), "parent"),
        (b"", "empty"),
        (b"just some text, not a disk\n" * 20, "text file"),
    ],
    ids=["vhd differencing", "vhdx differencing", "vhdx log", "cut short", "vmdk delta", "empty", "text"],
)
def test_bad_images(tmp_path: Path, capsys: pytest.CaptureFixture[str], image: bytes, words: str) -> None:
    path = tmp_path / "source.bin"
    path.write_bytes(image)
    said = refused(capsys, path, tmp_path / "out.raw")
    assert words in said
    assert "source.bin" in said
    assert names(tmp_path) == ["source.bin"]


def test_damage_found_on_the_way_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = bytearray(vmdk_stream(DISK))
    image[65536 + 1000] ^= 0xFF  # in the first grain's compressed data
    (tmp_path / "bad.vmdk").write_bytes(image)
    for name in ("out.raw", "out.vmdk", "out.ova", "out.vhd"):
        assert "damaged" in refused(capsys, tmp_path / "bad.vmdk", tmp_path / name)
    assert names(tmp_path) == ["bad.vmdk"]


def test_one_disk_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Memory(content(2, 1 << 20))
    path = tmp_path / "two.ova"
    path.write_bytes(ova({"a.ovf": b"<Envelope/>", "a.vmdk": vmdk_stream(DISK), "b.vmdk": vmdk_stream(other)}))
    said = refused(capsys, path, tmp_path / "out.raw")
    assert "1 a.vmdk, 2 b.vmdk" in said
    assert "there is no disk 3" in refused(capsys, path, tmp_path / "out.raw", "--disk", "3")
    assert main(["convert", str(path), str(tmp_path / "out.raw"), "--disk", "2"]) == EXIT_OK
    assert (tmp_path / "out.raw").read_bytes() == other.data


def test_a_full_disk(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for wanted in (Format.RAW, Format.VMDK, Format.VHD_FIXED, Format.VHD_DYNAMIC, Format.OVA):
        with pytest.raises(ServiceError, match="disk is full") as caught:
            convert(Request(raw, tmp_path / "out", wanted))
        assert (caught.value.kind, caught.value.problem.retry_safe) == (ErrorKind.LOCAL, True)
    assert names(tmp_path) == ["disk.raw"]


def test_someone_else_was_faster(raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.raw"
    with pytest.raises(ServiceError, match="exists") as caught:
        convert(Request(raw, target, Format.RAW), lambda done, total: target.write_text("theirs"))
    assert caught.value.kind is ErrorKind.CONFLICT
    assert target.read_text() == "theirs"
    assert names(tmp_path) == ["disk.raw", "out.raw"]


def test_without_qemu_the_package_is_named(
    tmp_path: Path, raw: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu.shutil, "which", lambda name: None)
    image = tmp_path / "disk.qcow2"
    image.write_bytes(b"QFI\xfb" + bytes(3) + b"\x03" + bytes(4096))
    assert "qemu-utils" in refused(capsys, image, tmp_path / "out.raw")
    assert "qemu-utils" in refused(capsys, raw, tmp_path / "out.vhdx")


@needs_qemu
def test_qcow2_that_reads_other_files_is_refused(tmp_path: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlay, outside, broken = (tmp_path / f"{name}.qcow2" for name in ("overlay", "outside", "broken"))
    create = ["qemu-img", "create", "-q", "-f", "qcow2"]
    subprocess.run([*create, "-b", raw, "-F", "raw", overlay], check=True)
    subprocess.run([*create, "-o", f"data_file={tmp_path / 'data'},data_file_raw=on", outside, "1M"], check=True)
    broken.write_bytes(overlay.read_bytes()[:30].replace(b"\x03", b"\x09").ljust(600, b"\x07"))
    assert "difference to its parent" in refused(capsys, overlay, tmp_path / "out.raw")
    assert "another file" in refused(capsys, outside, tmp_path / "out.raw")
    refused(capsys, broken, tmp_path / "out.raw")
    assert not list(tmp_path.glob(".*"))


def test_the_progress_line_is_for_terminals_and_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock = iter([0.0, 0.1, 0.5, 0.9, 1.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for screen, painted in ((Terminal(), 2), (io.StringIO(), 0)):
        monkeypatch.setattr(sys, "stderr", screen)
        with Meter() as meter:
            for done in (1, 50, 60, 100) if painted else ():
                meter.show(done << 20, 100 << 20)
        assert screen.getvalue().count("%") == painted
        if painted:
            assert "50 MiB of 100 MiB" in screen.getvalue()
            assert screen.getvalue().endswith(" \r")
            clock = iter([0.0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(1 << 40)  # the checksum of these zeros takes many minutes
    code = "import sys; from vmie_tui.cli import main; sys.exit(main())"
    if number is signal.SIGINT:  # what a shell starts in the background is deaf to it, and so are its children
        code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {code}"
    command = [sys.executable, "-c", code, "convert", str(raw), str(tmp_path / "out.vmdk")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: any(part.stat().st_size for part in tmp_path.glob(".out*")), 20)
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == EXIT_INTERRUPTED
    assert said.strip().endswith(b"interrupted")
    assert names(tmp_path) == ["disk.raw"]
