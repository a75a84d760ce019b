"""A loose OVF as a source: its disks beside it, proven by its manifest, and nothing outside its folder."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kits.disk_images import Sparse, content, stream_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.convert import Format, Request, convert
from vmie_tui.services.disks.convert_source import Opened, open_every, source_files
from vmie_tui.services.disks.formats.open_disk import open_disks
from vmie_tui.services.disks.formats.ova_write import manifest
from vmie_tui.services.disks.formats.ovf_write import Hardware, OvfDisk, make_ovf
from vmie_tui.services.disks.streams.source import RawFile, sha256_of

MIB = 1 << 20
DISKS = [Sparse(3 * MIB, {MIB: content(1, 300_000)}), Sparse(2 * MIB, {512: content(2, 4000)})]


def made(
    folder: Path, *, sums: bool = True, algorithm: str = "sha256", names: tuple[str, ...] = ("a.vmdk", "b.vmdk")
) -> Path:
    """An OVF of two disks in ``folder``; its path."""
    folder.mkdir(exist_ok=True)
    bodies = {name: stream_of(disk) for name, disk in zip(names, DISKS, strict=True)}
    disks = [OvfDisk(name, disk.size, len(bodies[name])) for name, disk in zip(names, DISKS, strict=True)]
    bodies["vm.ovf"] = make_ovf("vm", disks, hardware=Hardware())
    for name, data in bodies.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    if sums:
        lines = manifest({name: hashlib.new(algorithm, data).hexdigest() for name, data in bodies.items()})
        (folder / "vm.mf").write_bytes(lines.replace(b"SHA256", algorithm.upper().encode()))
    return folder / "vm.ovf"


def every(path: Path, held: ExitStack) -> list[Opened]:
    return open_every(path, held, raw=False, beside=path, progress=lambda done, total: None)


@pytest.mark.parametrize(
    "options",
    [{}, {"sums": False}, {"algorithm": "sha1"}, {"algorithm": "sha512"}, {"names": ("d/a b.vmdk", "b.vmdk")}],
)
def test_the_disks_beside_it_are_opened_in_their_order(tmp_path: Path, options: dict[str, object]) -> None:
    ovf = made(tmp_path / "vm", **options)  # type: ignore[arg-type]
    looked = open_disks(ovf)
    try:
        assert [sha256_of(disk) for disk in looked] == [sha256_of(disk) for disk in DISKS]
    finally:
        looked[0].close()
    with ExitStack() as held:
        assert [sha256_of(disk.source) for disk in every(ovf, held)] == [sha256_of(disk) for disk in DISKS]
    assert source_files(ovf) == [ovf, *(ovf.parent / name for name in options.get("names", ("a.vmdk", "b.vmdk")))]  # type: ignore[attr-defined]


def test_one_of_its_disks_is_converted(tmp_path: Path) -> None:
    ovf, target = made(tmp_path / "vm"), tmp_path / "out.raw"
    with pytest.raises(ServiceError, match=r"--disk: 1 a\.vmdk, 2 b\.vmdk"):
        convert(Request(ovf, target, Format.RAW))
    done = convert(Request(ovf, target, Format.RAW, disk=2))
    assert (done.disk, done.disk_sha256) == ("b.vmdk", sha256_of(DISKS[1]))
    with RawFile(target) as raw:
        assert sha256_of(raw) == done.sha256 == sha256_of(DISKS[1])
    with pytest.raises(ServiceError, match="same file"):
        convert(Request(ovf, ovf.parent / "b.vmdk", Format.VMDK, disk=1, force=True))


def swap(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))


@pytest.mark.parametrize(
    ("harm", "kind", "words"),
    [
        (lambda f: (f / "a.vmdk").unlink(), ErrorKind.NOT_FOUND, "the OVF names a.vmdk, which is not beside it"),
        (
            lambda f: [(f / name).unlink() for name in ("a.vmdk", "b.vmdk")],
            ErrorKind.NOT_FOUND,
            "the OVF names a.vmdk, b.vmdk, which are not beside it",
        ),
        (lambda f: swap(f / "vm.ovf", b"a.vmdk", b"../a.vmdk"), ErrorKind.INVALID, "elsewhere"),
        (lambda f: swap(f / "vm.ovf", b"a.vmdk", b"%2e%2e/a.vmdk"), ErrorKind.INVALID, "elsewhere"),
        (lambda f: swap(f / "vm.ovf", b"a.vmdk", b"/etc/passwd"), ErrorKind.INVALID, "elsewhere"),
        (lambda f: swap(f / "vm.ovf", b"a.vmdk", b"http://host/a.vmdk"), ErrorKind.INVALID, "elsewhere"),
        (
            lambda f: [(f / "a.vmdk").rename(f.parent / "a.vmdk"), (f / "a.vmdk").symlink_to(f.parent / "a.vmdk")],
            ErrorKind.INVALID,
            "a link to another directory",
        ),
        (lambda f: [(f / "a.vmdk").unlink(), (f / "a.vmdk").mkdir()], ErrorKind.INVALID, "is no file"),
        (lambda f: (f / "a.vmdk").write_bytes(b"short"), ErrorKind.CORRUPT, "the OVF says a.vmdk has"),
        (lambda f: swap(f / "vm.ovf", b"<Disk ", b"<Nothing "), ErrorKind.INVALID, "names no disk"),
        (lambda f: swap(f / "vm.ovf", b"<Envelope", b"<!DOCTYPE x><Envelope"), ErrorKind.CORRUPT, "declares entities"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_says_is_refused_by_name(tmp_path: Path, harm: object, kind: ErrorKind, words: str) -> None:
    ovf = made(tmp_path / "vm", sums=False)
    harm(ovf.parent)  # type: ignore[operator]
    for look in (lambda: open_disks(ovf), lambda: every(ovf, ExitStack())):
        with pytest.raises(ServiceError) as caught:
            look()
        assert caught.value.kind is kind
        assert words in caught.value.problem.what
        assert caught.value.problem.subject == str(ovf)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("a.vmdk", b"KDMV", b"KDMX", "a.vmdk is not what the manifest vm.mf says: its SHA256 differs"),
        ("vm.ovf", b"2048 MB", b"9048 MB", "vm.ovf is not what the manifest"),
        ("vm.mf", b"(b.vmdk)", b"(c.vmdk)", "does not name b.vmdk"),
    ],
)
def test_the_manifest_is_believed(tmp_path: Path, file: str, old: bytes, new: bytes, words: str) -> None:
    ovf = made(tmp_path / "vm")
    swap(ovf.parent / file, old, new)
    with pytest.raises(ServiceError) as caught:
        convert(Request(ovf, tmp_path / "out.raw", Format.RAW, disk=2))
    assert caught.value.kind is ErrorKind.CORRUPT
    assert words in caught.value.problem.what
    assert not (tmp_path / "out.raw").exists()
