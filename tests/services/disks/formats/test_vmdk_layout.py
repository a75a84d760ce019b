"""The text of a VMDK: read line by line whatever it holds, and its extents opened as it says or refused in words."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kits.disk_containers import Memory, vmdk_sparse
from tests.kits.disk_images import Sparse, content
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.disks.convert_source import open_every
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.open_disk import open_disk
from vmie_tui.services.disks.formats.vmdk_layout import MAX_EXTENTS, MAX_LINES, SECTOR, Extent, parse_descriptor
from vmie_tui.services.disks.streams.ranges import Budget
from vmie_tui.services.disks.streams.source import sha256_of

MIB = 1 << 20
DATA = content(5, 3 * MIB)
HEAD = "# Disk DescriptorFile\nversion=1\nCID=369b13fd\nparentCID=ffffffff\n"


def test_what_a_descriptor_says() -> None:
    found = parse_descriptor(
        b'\xef\xbb\xbf# Disk DescriptorFile\r\n encoding = "UTF-8"\r\nCID=1\rparentCID=FFFFFFFF\n'
        b'\tcreateType\t=  "custom" \n'
        b'  RW   2048 flat "a b.vmdk" 63 uuid 12\r\nNOACCESS 10 ZERO\nrdonly 4 SPARSE "c.vmdk"\nRW 0 ZERO\nRWX 7 ZERO\n'
        b'ddb.comment = "RW 5 ZERO"\n\0RW 99 ZERO\n'
    )
    assert found.create_type == "custom"
    assert found.parent is None
    assert found.extents == (
        Extent("RW", 2048, "FLAT", "a b.vmdk", "a b.vmdk", 63),
        Extent("NOACCESS", 10, "ZERO"),
        Extent("RDONLY", 4, "SPARSE", "c.vmdk", "c.vmdk"),
        Extent("RW", 0, "ZERO"),
    )
    assert found.capacity == (2048 + 10 + 4) * SECTOR
    assert found.files == ("a b.vmdk", "c.vmdk")


@pytest.mark.parametrize(
    ("declared", "stored", "shown"),
    [
        ("windows-1252", "Ünïcode".encode("cp1252"), "Ünïcode"),
        ("GBK", "磁盘".encode("gbk"), "磁盘"),
        ("windows-936", "磁盘".encode("gbk"), "磁盘"),
        ("Shift_JIS", "ディスク".encode("shift_jis"), "ディスク"),
        ("Big5", "磁碟".encode("big5"), "磁碟"),
        ("UTF-8", "磁盘".encode(), "磁盘"),
        ("", "磁盘".encode(), "磁盘"),
        ("windows-1252", "Ł€\x81".encode(), "Ł€\x81"),  # declared by a tool that then wrote UTF-8
        ("no such encoding", b"\xff.vmdk", "\ufffd.vmdk"),
        ("punycode", b"abc-", "abc-"),
        ("hex", b"6162", "6162"),
    ],
)
def test_names_in_the_encoding_that_is_declared(declared: str, stored: bytes, shown: str) -> None:
    (extent,) = parse_descriptor(b'encoding="%s"\nRW 1 FLAT "%s" 0\n' % (declared.encode(), stored)).extents
    assert extent.file == shown
    assert os.fsencode(extent.stored) == stored


@pytest.mark.parametrize(
    ("line", "parent"),
    [
        ("parentCID=12ab34cd", "12ab34cd"),
        ("parentCID = 12AB34CD ", "12AB34CD"),
        ('PARENTCID="12ab34cd"', "12ab34cd"),
        ('parentCID=12ab34cd\nparentFileNameHint="base.vmdk"', "base.vmdk"),
        ('parentFileNameHint = "base.vmdk"', "base.vmdk"),
        ("parentCID=ffffffff\nparentCID=12ab34cd", "12ab34cd"),
        ("parentCID=ffffffff", None),
        ('parentFileNameHint=""', None),
    ],
)
def test_a_parent_however_it_is_written(line: str, parent: str | None) -> None:
    assert parse_descriptor(f"{line}\nRW 1 ZERO\n".encode()).parent == parent


@pytest.mark.parametrize(
    "line",
    [
        "RW",
        "RW x ZERO",
        "RW -1 ZERO",
        "RW 1",
        "RW 1234567890123456 ZERO",
        'RW 1 FLAT "open',
        'RW 1 FLAT "a" b',
        "RW 1 FLAT a 0",
        'RW 1 FLAT "a" -1',
        f"RW {1 << 38} ZERO",
        "RW 1 ZERO\n" * (MAX_EXTENTS + 1),
        "\n" * (MAX_LINES + 1),
    ],
)
def test_lines_that_no_disk_has_are_refused(line: str) -> None:
    with pytest.raises(DiskFormatError, match="descriptor") as caught:
        parse_descriptor(line.encode())
    assert caught.value.kind == ErrorKind.CORRUPT
    assert len(str(caught.value)) < 400


PIECES = [b"RW ", b"NOACCESS ", b"12 ", b'"', b"=", b"createType", b"encoding", b"parentCID", b"\n", b"\r", b" ", b"\0"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)))
@example(b'encoding="undefined"\nRW 1 FLAT "a"')
@example(b'encoding="utf-8\xff"\nRW 1 FLAT "\xff"')
@example(b"RW \xc2\xb2 ZERO")
def test_any_text_is_read_or_refused(text: bytes) -> None:
    try:
        found = parse_descriptor(text)
    except DiskFormatError as error:
        assert error.kind == ErrorKind.CORRUPT
        return
    assert found.capacity >= 0
    assert f"{found}".isprintable()


@pytest.mark.parametrize(
    "pump",
    [
        lambda n: b"createType=" + b" " * n + b'"x"y"z\n',
        lambda n: b"\n" * n,
        lambda n: b"RW " + b" " * n + b"x",
        lambda n: b'RW 1 FLAT "' + b'" ' * n,
        lambda n: b"RW " * n,
        lambda n: b"a=" * n,
        lambda n: b"encoding=" + b"cp" * n + b'\nRW 1 FLAT "a"',
        lambda n: b'encoding="gbk"\nRW 1 FLAT "' + b"\xff" * n + b'"',
        lambda n: b'RW 1 FLAT "a" 0\n' * (n // 16),
        lambda n: b" \r" * n,
    ],
)
def test_time_grows_with_the_text_alone(pump: Callable[[int], bytes]) -> None:
    def cost(length: int) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            with suppress(DiskFormatError):
                parse_descriptor(pump(length))
            best = min(best, time.thread_time() - start)
        return best

    assert cost(60_000) < 3 * max(cost(30_000), 0.002)


# -- the files beside it


def folder_with(tmp_path: Path, text: str, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    path = tmp_path / "disk.vmdk"
    path.write_text(HEAD + text)
    return path


def both(path: Path) -> str:
    """SHA-256 of the disk, the same whether it is looked at or read from front to back."""
    with open_disk(path, Budget(requests=10_000, bytes=1 << 30)) as looked, ExitStack() as held:
        (opened,) = open_every(path, held, raw=False, beside=path, progress=lambda done, total: None)
        found = sha256_of(looked)
        assert sha256_of(opened.source) == found
        return found


def hashed(data: bytes) -> str:
    return sha256_of(Memory(data))


def refused(path: Path, words: str, kind: ErrorKind) -> None:
    with pytest.raises(ServiceError, match=words) as caught:
        open_disk(path)
    assert caught.value.kind == kind
    assert caught.value.problem.remedy
    with ExitStack() as held, pytest.raises(ServiceError, match=words):
        open_every(path, held, raw=False, beside=path, progress=lambda done, total: None)


def piece(data: bytes) -> bytes:
    """A sparse extent without a descriptor, as the pieces of split disks are."""
    whole = bytearray(vmdk_sparse(Sparse(len(data), {0: data})))
    whole[28:44] = bytes(16)
    whole[SECTOR : 21 * SECTOR] = bytes(20 * SECTOR)
    return bytes(whole)


def test_extents_without_access_are_part_of_the_disk(tmp_path: Path) -> None:
    files = {"a.vmdk": DATA[:MIB], "b.vmdk": DATA[2 * MIB :]}
    path = folder_with(tmp_path, 'RW 2048 FLAT "a.vmdk" 0\nNOACCESS 2048 ZERO\nRW 2048 FLAT "b.vmdk" 0\n', files)
    assert both(path) == hashed(DATA[:MIB] + bytes(MIB) + DATA[2 * MIB :])


def test_sparse_and_flat_pieces_in_their_order(tmp_path: Path) -> None:
    files = {"s001.vmdk": piece(DATA[:MIB]), "f002.vmdk": bytes(512) + DATA[MIB:], "s3.vmdk": piece(DATA[:MIB])}
    text = 'RW 2048 SPARSE "s001.vmdk"\nRW 4096 FLAT "f002.vmdk" 1\nRDONLY 2048 SPARSE "s3.vmdk"\n'
    assert both(folder_with(tmp_path, text, files)) == hashed(DATA + DATA[:MIB])


def test_one_file_in_two_extents_that_do_not_overlap(tmp_path: Path) -> None:
    text = 'RW 2048 FLAT "a" 2048\nRW 2048 FLAT "a" 0\n'
    assert both(folder_with(tmp_path, text, {"a": DATA})) == hashed(DATA[MIB : 2 * MIB] + DATA[:MIB])


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_names_of_another_encoding(encoding: str, tmp_path: Path) -> None:
    """The file is found by what the name means, and by the bytes that the descriptor has."""
    name = "磁盘-flat.vmdk"
    stored = os.fsdecode(name.encode(encoding)) if encoding == "gbk" else name
    (tmp_path / stored).write_bytes(DATA)
    path = tmp_path / "disk.vmdk"
    text = f'# Disk DescriptorFile\nencoding="GBK"\nparentCID=ffffffff\nRW 6144 FLAT "{name}" 0\n'
    path.write_bytes(text.encode("gbk"))
    assert both(path) == hashed(DATA)


def test_a_letter_whose_second_byte_is_a_backslash(tmp_path: Path) -> None:
    (tmp_path / "表-flat.vmdk").write_bytes(DATA)
    path = tmp_path / "disk.vmdk"
    text = '# Disk DescriptorFile\nencoding="Shift_JIS"\nparentCID=ffffffff\nRW 6144 FLAT "表-flat.vmdk" 0\n'
    path.write_bytes(text.encode("cp932"))
    assert both(path) == hashed(DATA)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "title",
    ["# Disk DescriptorFile", "\r\n#disk descriptorfile", "# Disk Descriptor File", "# made by hand\n#", "  # by hand"],
)
def test_a_descriptor_that_was_edited(title: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a-flat.vmdk").write_bytes(DATA)
    path = tmp_path / "disk.vmdk"
    text = f'{title}\nversion=1\nparentCID=ffffffff\ncreateType="vmfs"\nRW 6144 FLAT "./a-flat.vmdk" 0\n'
    path.write_bytes(text.encode(encoding))
    assert both(path) == hashed(DATA)


REFUSED: dict[str, tuple[str, dict[str, bytes], str, ErrorKind]] = {
    "no extents": ("", {}, "names no extents", ErrorKind.CORRUPT),
    "missing": ('RW 1 FLAT "gone"\n', {}, "gone is not beside", ErrorKind.NOT_FOUND),
    "short": ('RW 4096 FLAT "a"\n', {"a": DATA[:MIB]}, "has 1048576 bytes", ErrorKind.CORRUPT),
    "short by its offset": ('RW 2048 FLAT "a" 1\n', {"a": DATA[:MIB]}, "descriptor says 1049088", ErrorKind.CORRUPT),
    "short piece": ('RW 4096 SPARSE "s"\n', {"s": piece(DATA[:MIB])}, "holds 1048576 bytes of d", ErrorKind.CORRUPT),
    "long piece": ('RW 1024 SPARSE "s"\n', {"s": piece(DATA[:MIB])}, "descriptor says 524288", ErrorKind.CORRUPT),
    "piece of no format": ('RW 2048 SPARSE "s"\n', {"s": DATA[:MIB]}, "not a sparse VMDK", ErrorKind.INVALID),
    "overlap": ('RW 2048 FLAT "a" 0\nRW 9 FLAT "a" 2047\n', {"a": DATA}, "overlap in a", ErrorKind.CORRUPT),
    "a piece twice": ('RW 2048 SPARSE "s"\n' * 2, {"s": piece(DATA[:MIB])}, "overlap in s", ErrorKind.CORRUPT),
    "no access": ('NOACCESS 1 FLAT "a"\n', {"a": DATA}, "forbids the access", ErrorKind.INVALID),
    "no name": ("RW 1 FLAT\n", {}, "its data is in another file", ErrorKind.INVALID),
    "absolute": ('RW 1 FLAT "/etc/hostname"\n', {}, "its data is in /etc/hostname", ErrorKind.INVALID),
    "upwards": ('RW 1 FLAT "../x"\n', {}, r"its data is in \.\./x", ErrorKind.INVALID),
    "folder above": ('RW 1 FLAT ".."\n', {}, "its data is in", ErrorKind.INVALID),
    "below": ('RW 1 FLAT "a/b"\n', {}, "its data is in a/b", ErrorKind.INVALID),
    "of Windows": (r'RW 1 FLAT "C:\disks\b"' + "\n", {}, "its data is in C:", ErrorKind.INVALID),
    "a device": (r'RW 1 FLAT "\\.\PhysicalDrive0" 0' + "\n", {}, "PhysicalDrive0", ErrorKind.INVALID),
    "raw mapping": ('RW 1 VMFSRDM "a-rdm.vmdk"\n', {}, "raw device mapping", ErrorKind.INVALID),
    "raw mapping, passed through": ('RW 1 VMFSRAW "a-rdmp.vmdk"\n', {}, "raw device mapping", ErrorKind.INVALID),
    "difference of VMFS": ('RW 1 VMFSSPARSE "a-delta.vmdk"\n', {}, "snapshot's difference", ErrorKind.INVALID),
    "difference of vSAN": ('RW 1 SESPARSE "a-sesparse.vmdk"\n', {}, "snapshot's difference", ErrorKind.INVALID),
    "a kind nobody knows": ('RW 1 CLOUD "a"\n', {}, "of the kind CLOUD", ErrorKind.INVALID),
    "a parent": ('parentFileNameHint="b.vmdk"\nRW 1 ZERO\n', {}, r"parent b\.vmdk", ErrorKind.INVALID),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    text, files, words, kind = REFUSED[name]
    refused(folder_with(tmp_path, text, files), words, kind)


@pytest.mark.parametrize("kind", ["FLAT", "SPARSE"])
def test_a_link_is_no_extent(kind: str, tmp_path: Path) -> None:
    (tmp_path / "private").write_bytes(piece(DATA[:MIB]))
    (tmp_path / "a").symlink_to(tmp_path / "private")
    refused(folder_with(tmp_path, f'RW 2 {kind} "a"\n', {}), "a is a link", ErrorKind.INVALID)


def test_a_pipe_or_folder_is_no_extent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        refused(folder_with(tmp_path, f'RW 2 FLAT "{name}"\n', {}), "is no regular file", ErrorKind.INVALID)


def test_many_extents_of_one_file_are_opened_once(tmp_path: Path) -> None:
    text = "".join(f'RW 1 FLAT "a" {number}\n' for number in range(3000))
    assert both(folder_with(tmp_path, text, {"a": DATA})) == hashed(DATA[: 3000 * SECTOR])
