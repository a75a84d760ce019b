"""OVF packages, loose and as OVA: every dialect, name and digest that is sound is read, all else refused in words."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.disk_containers import Memory, vhd_dynamic
from tests.kits.disk_images import Sparse, content, stream_of
from tests.kits.ovf_texts import ovf_text, tar_of, v7
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Severity
from vmie_tui.services.disks.convert import Format, Request, convert
from vmie_tui.services.disks.formats.open_disk import open_disks
from vmie_tui.services.disks.formats.ova import list_members
from vmie_tui.services.disks.formats.ovf_manifest import Manifest, parse_manifest
from vmie_tui.services.disks.formats.ovf_package import Package, open_archive
from vmie_tui.services.disks.streams.source import sha256_of
from vmie_tui.services.image_sources import describe_file, open_source_disks

unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
MIB = 1 << 20
DISK = Sparse(2 * MIB, {4096: content(1, 70_000)})
RAW = DISK.read_at(0, DISK.size)
VMDK = stream_of(DISK)
NAME = "disk1.vmdk"
OVF = ovf_text([], [NAME])
GZIP = gzip.compress(VMDK, mtime=0)


def package(archive: bytes) -> Package:
    """All that is judged of an OVA: its package, what its disks are, and the digests of its disks."""
    reader = Memory(archive)
    found = open_archive(reader, list_members(reader.read_at, reader.size))
    open_disks(reader)[0].close()
    found.prove()
    return found


def named(name: str, **options: Any) -> bytes:
    return ovf_text([], [name], **options)


GOOD: dict[str, bytes] = {
    "dot slash": tar_of([("./", None), ("./vm.ovf", OVF), ("./disk1.vmdk", VMDK)]),
    "double slash": tar_of([(".//vm.ovf", OVF), (".//disk1.vmdk", VMDK)]),
    "in a folder": tar_of([("vm/", None), ("vm/vm.ovf", OVF), ("vm/disk1.vmdk", VMDK)]),
    "long, GNU": tar_of([("x" * 120 + "/vm.ovf", OVF), ("x" * 120 + "/disk1.vmdk", VMDK)], dialect=tarfile.GNU_FORMAT),
    "long, PAX": tar_of([("ü" * 90 + "/vm.ovf", OVF), ("ü" * 90 + "/disk1.vmdk", VMDK)], dialect=tarfile.PAX_FORMAT),
    "long, ustar": tar_of([("y" * 130 + "/vm.ovf", OVF), ("y" * 130 + "/disk1.vmdk", VMDK)]),
    "version 7": v7(tar_of([("vm.ovf", OVF), (NAME, VMDK)])),
    "no end": tar_of([("vm.ovf", OVF), (NAME, VMDK)]).rstrip(b"\0").ljust(len(VMDK) + 4096, b"\0")[:-1024],
    "behind the end": tar_of([("vm.ovf", OVF), (NAME, VMDK)]) + b"garbage" * 100,
    "AppleDouble": tar_of(
        [("._vm.ovf", b"\0\5\x16\7"), ("vm.ovf", OVF), ("._disk1.vmdk", b"\0\5\x16\7"), (NAME, VMDK)]
    ),
    "__MACOSX": tar_of([("vm.ovf", OVF), (NAME, VMDK), ("__MACOSX/disk1.vmdk", b"\0\5\x16\7")]),
    "other case": tar_of([("VM.OVF", named("Disk1.VMDK")), (NAME, VMDK)]),
    "escaped": tar_of([("vm.ovf", named("my%20disk.vmdk")), ("my disk.vmdk", VMDK)]),
    "escaped in both": tar_of([("vm.ovf", named("my%20disk.vmdk")), ("my%20disk.vmdk", VMDK)]),
    "decomposed": tar_of([("vm.ovf", named("bu\u0308ro.vmdk")), ("b\u00fcro.vmdk", VMDK)], dialect=tarfile.PAX_FORMAT),
    "utf-16": tar_of([("vm.ovf", OVF.decode().encode("utf-16")), (NAME, VMDK)]),
    "no suffix": tar_of([("vm.ovf", named("0c5b9a3e-52d4")), ("0c5b9a3e-52d4", VMDK)]),
    "raw": tar_of([("vm.ovf", named("disk.img")), ("disk.img", RAW)]),
    "identity": tar_of([("vm.ovf", named(NAME, file_extra='ovf:compression="identity"')), (NAME, VMDK)]),
    "with an ISO": tar_of(
        [("vm.ovf", ovf_text([], [NAME], front='<File ovf:id="i" ovf:href="a.iso"/>')), (NAME, VMDK)]
    ),
    "blanks around a name": tar_of([("vm.ovf", named(" disk1.vmdk\n")), (NAME, VMDK)]),
    "file:": tar_of([("vm.ovf", named("file:disk1.vmdk")), (NAME, VMDK)]),
    "file:///": tar_of([("vm.ovf", named("FILE:///disk1.vmdk")), (NAME, VMDK)]),
    "blank lines first": tar_of([("vm.ovf", b'\r\n <?xml version="1.0"?>' + OVF), (NAME, VMDK)]),
    "a certificate": tar_of([("vm.ovf", OVF), (NAME, VMDK), ("vm.cert", b"SHA256(vm.mf)= 00")]),
}


@pytest.mark.parametrize("archive", GOOD.values(), ids=GOOD)
def test_sound_archives_are_read(archive: bytes) -> None:
    found = package(archive)
    assert found.remarks == ()
    assert [disk.source.read_at(0, 1 << 30) for disk in found.disks] in ([VMDK], [RAW])


def test_only_an_archive_that_others_understand_too_is_sent_as_it_lies_there() -> None:
    rewritten = {name for name, archive in GOOD.items() if not package(archive).plain}
    assert rewritten == {
        "dot slash", "double slash", "in a folder", "AppleDouble", "utf-16",
        "blanks around a name", "file:", "file:///", "blank lines first",
    }  # fmt: skip
    assert not package(tar_of([("vm.ovf", OVF), (NAME, VMDK), ("b.vmdk", VMDK)])).plain


BAD: dict[str, tuple[bytes, ErrorKind, str]] = {
    "absolute": (tar_of([("/vm.ovf", OVF), ("/disk1.vmdk", VMDK)]), ErrorKind.INVALID, "leads out of it"),
    "upwards": (tar_of([("vm.ovf", OVF), ("../disk1.vmdk", VMDK)]), ErrorKind.INVALID, "leads out of it"),
    "twice": (tar_of([("vm.ovf", OVF), (NAME, VMDK), ("./disk1.vmdk", RAW)]), ErrorKind.INVALID, "disk1.vmdk twice"),
    "two descriptors": (tar_of([("a.ovf", OVF), ("b.ovf", OVF), (NAME, VMDK)]), ErrorKind.INVALID, "2 descriptors"),
    "OVF last": (tar_of([(NAME, VMDK), ("vm.ovf", OVF)]), ErrorKind.INVALID, "begins with disk1.vmdk"),
    "no OVF": (tar_of([(NAME, VMDK)]), ErrorKind.INVALID, "begins with disk1.vmdk"),
    "no disk": (tar_of([("a.txt", b"x" * 600)]), ErrorKind.INVALID, "holds no disk"),
    "symbolic link": (tar_of([("vm.ovf", OVF)], link=(NAME, tarfile.SYMTYPE)), ErrorKind.INVALID, "as a link only"),
    "hard link": (tar_of([("vm.ovf", OVF)], link=(NAME, tarfile.LNKTYPE)), ErrorKind.INVALID, "as a link only"),
    "missing": (tar_of([("vm.ovf", named("gone.vmdk")), (NAME, VMDK)]), ErrorKind.CORRUPT, "does not hold it"),
    "unparsable": (tar_of([("vm.ovf", OVF[:-20]), (NAME, VMDK)]), ErrorKind.CORRUPT, "cannot be read"),
    "a web page": (
        tar_of([("vm.ovf", b"<html><body/></html>"), (NAME, VMDK)]), ErrorKind.CORRUPT, "begins with <html>"
    ),
    "a file elsewhere": (
        tar_of([("vm.ovf", named("file:///tmp/disk1.vmdk")), (NAME, VMDK)]), ErrorKind.INVALID, "elsewhere"
    ),
    "empty OVF": (tar_of([("vm.ovf", b""), (NAME, VMDK)]), ErrorKind.CORRUPT, "cannot be read"),
    "document type": (
        tar_of([("vm.ovf", ("<!DOCTYPE x>" + OVF.decode()).encode("utf-16-be")), (NAME, VMDK)]),
        ErrorKind.CORRUPT,
        "declares entities",
    ),
    "compression": (
        tar_of([("vm.ovf", named(NAME, file_extra='ovf:compression="gzip"')), (NAME, GZIP)]), ErrorKind.INVALID, "gzip"
    ),
    "gzip": (tar_of([("vm.ovf", OVF), (NAME, GZIP)]), ErrorKind.INVALID, "gzip"),
    "gzip by name": (tar_of([("vm.ovf", named("d.gz")), ("d.gz", GZIP)]), ErrorKind.INVALID, "gzip"),
    "named vmdk": (tar_of([("vm.ovf", OVF), (NAME, RAW)]), ErrorKind.CORRUPT, "named .vmdk"),
    "archive inside": (
        tar_of([("vm.ovf", named("d.img")), ("d.img", tar_of([("a", b"b")]))]), ErrorKind.INVALID, "archive inside"
    ),
    "empty disk": (tar_of([("vm.ovf", OVF), (NAME, b"")]), ErrorKind.CORRUPT, "is empty"),
    "difference": (
        tar_of([("vm.ovf", ovf_text([], [NAME, "b"], extra={"d2": 'ovf:parentRef="d1"'})), (NAME, VMDK), ("b", VMDK)]),
        ErrorKind.INVALID,
        "only the difference to its parent disk1.vmdk",
    ),
    "QCOW2": (
        tar_of([("vm.ovf", named("0c5b")), ("0c5b", b"QFI\xfb\0\0\0\3" + bytes(600))]), ErrorKind.INVALID, "QCOW2 image"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("archive", "kind", "words"), BAD.values(), ids=BAD)
def test_others_are_refused_in_words(archive: bytes, kind: ErrorKind, words: str) -> None:
    with pytest.raises(ServiceError) as raised:
        package(archive)
    assert raised.value.kind is kind
    assert words in str(raised.value)
    assert raised.value.problem.remedy


def test_chunks_are_refused_with_the_documented_error() -> None:
    for archive in (
        tar_of([("vm.ovf", OVF), ("disk1.vmdk.000000000", VMDK)]),
        tar_of([("vm.ovf", named(NAME, file_extra='ovf:chunkSize="9"')), (NAME, VMDK)]),
    ):
        with pytest.raises(ServiceError) as raised:
            package(archive)
        assert raised.value.problem.detail == facts.error("E03")["message"]


def old_sparse() -> bytes:
    """As GNU tar wrote files with holes: a type of its own, and one more block with the rest of the map."""
    out = bytearray(tar_of([("vm.ovf", OVF), (NAME, VMDK), ("z.txt", b"z")]))
    at = 512 + -(-len(OVF) // 512) * 512
    out[at + 156 : at + 157], out[at + 482] = b"S", 1
    out[at + 148 : at + 156] = b" " * 8
    out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    out[at + 512 : at + 512] = bytes(512)
    return bytes(out)


def pax_sparse() -> bytes:
    """As it writes them now: the name and the kind in PAX records."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("vm.ovf", OVF), (NAME, VMDK), ("z.txt", b"z")):
            info = tarfile.TarInfo(f"GNUSparseFile.0/{name}" if name == NAME else name)
            info.size = len(data)
            info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": name} if name == NAME else {}
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("archive", [old_sparse(), pax_sparse()], ids=["old", "PAX"])
def test_sparse_members_are_named(archive: bytes) -> None:
    members = list_members(Memory(archive).read_at, len(archive))
    assert [(member.name, member.sparse) for member in members] == [("vm.ovf", False), (NAME, True), ("z.txt", False)]
    with pytest.raises(ServiceError, match=r"disk1\.vmdk without its holes"):
        package(archive)


@pytest.mark.parametrize(
    ("name", "body", "said", "capacity", "words"),
    [
        (NAME, VMDK, 7, 8, "the OVF says 7"),
        ("d.vhd", vhd_dynamic(DISK), 1 << 40, 8, "the OVF says"),
        ("d.raw", RAW, 7, DISK.size, "the OVF says 7"),
        ("d.raw", RAW, 7, 8, None),
        (NAME, VMDK[: len(VMDK) // 2], len(VMDK), 8, None),
    ],
)
def test_a_wrong_size_is_a_warning_where_the_disk_proves_itself(
    name: str, body: bytes, said: int, capacity: int, words: str | None
) -> None:
    text = ovf_text([], [name], sizes={name: said}, capacity=capacity)
    archive = tar_of([("vm.ovf", text), (name, body)])
    if words:
        assert words in package(archive).remarks[0].what
        return
    with pytest.raises(ServiceError, match=f"the OVF says {name} has {said} bytes, the file has {len(body)}"):
        package(archive)
    proven = f"SHA1({name})= {hashlib.sha1(body, usedforsecurity=False).hexdigest()}\n".encode()
    if body is RAW:
        assert len(package(tar_of([("vm.ovf", text), ("vm.mf", proven), (name, body)])).remarks) == 2


def test_what_is_left_out_is_said() -> None:
    found = package(tar_of([("vm.ovf", ovf_text([], [NAME, ""])), (NAME, VMDK), ("other.vmdk", VMDK)]))
    assert [disk.name for disk in found.disks] == [NAME]
    assert ["no disk of the OVF" in each.what or "has no file" in each.what for each in found.remarks] == [True, True]


# -- manifests

FILES = [("vm.ovf", OVF), (NAME, VMDK)]


def sums(files: list[tuple[str, bytes]] = FILES, line: str = "SHA256({n})= {h}\n", algorithm: str = "sha256") -> bytes:
    digests = ((name, hashlib.new(algorithm, data).hexdigest()) for name, data in files)
    return "".join(line.format(n=name, h=value) for name, value in digests).encode()


BRACKETS = "vm (copy) = 1 (ü).vmdk"
LISTED = {
    "SHA1": sums(line="SHA1({n})= {h}\n", algorithm="sha1"),
    "SHA384": sums(line="SHA384({n})= {h}\n", algorithm="sha384"),
    "SHA512": sums(line="SHA512({n})= {h}\n", algorithm="sha512"),
    "SHA2-256": sums(line="SHA2-256({n})= {h}\n"),
    "SHA2-512": sums(line="SHA2-512({n})= {h}\n", algorithm="sha512"),
    "SHA3-256": sums(line="SHA3-256({n})= {h}\n", algorithm="sha3_256"),
    "MD5": sums(line="MD5({n})= {h}\n", algorithm="md5"),
    "BSD": sums(line="SHA256 ({n}) = {h}\n"),
    "lower case": sums(line="sha256({n})={h}\n"),
    "CRLF": sums(line="SHA256({n})= {h}\r\n"),
    "CR": sums(line="SHA256({n})= {h}\r"),
    "tabs": sums(line="\tSHA256\t(\t{n}\t)\t=\t{h}\t\n"),
    "dot slash": sums(line="SHA256(./{n})= {h}\n"),
    "BOM": b"\xef\xbb\xbf" + sums(),
    "UTF-16": sums().decode().encode("utf-16"),
    "sha256sum": sums(line="{h}  {n}\n"),
    "sha512sum -b": sums(line="{h} *{n}\n", algorithm="sha512"),
    "UTF-16 without a mark": sums().decode().encode("utf-16-le"),
    "sha256sum, tab": sums(line="{h}\t{n}\n"),
    "sha256sum, escaped": sums(line="\\{h}  {n}\n"),
    "other letters": sums(line="SHA256({n})= {h}\n").replace(b"disk1.vmdk", b"DISK1.VMDK"),
    "upper case hex": sums(line="{h}  {n}\n").upper().replace(b"VM.OVF", b"vm.ovf"),
    "two kinds": sums(line="MD5({n})= {h}\n", algorithm="md5") + sums(line="SHA512({n})= {h}\n", algorithm="sha512"),
    "twice": sums() + sums(),
    "noise": b"# a comment\n\n" + sums() + b"SHA256(nothing)\n(=)\n= =\n",
}


@pytest.mark.parametrize("text", LISTED.values(), ids=LISTED)
def test_every_digest_and_spelling_is_believed(text: bytes) -> None:
    found = package(tar_of([("vm.ovf", OVF), ("vm.mf", text), (NAME, VMDK)]))
    assert found.remarks == ()
    assert found.disks[0].digest is not None
    harmed = VMDK[:-700] + bytes([VMDK[-700] ^ 1]) + VMDK[-699:]
    for files in ([("vm.ovf", OVF + b"\n"), (NAME, VMDK)], [("vm.ovf", OVF), (NAME, harmed)]):
        with pytest.raises(ServiceError, match=r"is not what the manifest vm\.mf says") as raised:
            package(tar_of([files[0], ("vm.mf", text), files[1]]))
        assert raised.value.kind is ErrorKind.CORRUPT


@pytest.mark.parametrize("place", ["behind", "another name", "folder", "folder, whole names"])
def test_the_manifest_is_found(place: str) -> None:
    inside = "vm/" if "folder" in place else ""
    files = [(inside + name, data) for name, data in FILES]
    name = inside + ("sums.MF" if place == "another name" else "vm.mf")
    text = sums(files if "whole" in place else FILES)
    assert package(tar_of([*files, (name, text)])).manifest is not None
    with pytest.raises(ServiceError, match="differs"):
        package(tar_of([*files, (name, text.replace(text[-9:-1], b"00000000"))]))


def test_any_name_may_stand_in_a_manifest(tmp_path: Path) -> None:
    files = [("vm (copy).ovf", named(BRACKETS)), (BRACKETS, VMDK)]
    text = sums(files)
    assert package(tar_of([*files, ("vm (copy).mf", text)], dialect=tarfile.PAX_FORMAT)).remarks == ()
    for name, data in (*files, ("vm (copy).mf", text)):
        (tmp_path / name).write_bytes(data)
    found = describe_file([tmp_path / "vm (copy).ovf"])
    assert [disk.label for disk in found.machine.disks] == [BRACKETS]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (sums(FILES[1:]), "does not name vm.ovf"),
        (sums(line="WHIRLPOOL({n})= {h}\n"), "WHIRLPOOL"),
    ],
)
def test_what_a_manifest_leaves_out(text: bytes, words: str) -> None:
    archive = tar_of([*FILES, ("vm.mf", text)])
    assert [words in remark.what for remark in package(archive).remarks] == [True]


WRONG = f"SHA256({NAME})= {'0' * 64}\n".encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (sums(FILES[:1]), f"does not name {NAME}"),
        (b"", "holds no digest of any file"),
        (b"\0" * 100, "holds no digest of any file"),
        (b"<html>not found</html>\n", "holds no digest of any file"),
        (WRONG + sums(), f"gives {NAME} two different SHA256 digests"),
        (sums() + WRONG, f"gives {NAME} two different SHA256 digests"),
        (sums(line="SHA1({n})= {h}\n", algorithm="sha1") + WRONG, "its SHA256 differs"),
        (WRONG + sums(line="SHA1({n})= {h}\n", algorithm="sha1"), "its SHA256 differs"),
    ],
)
def test_a_manifest_that_proves_nothing_of_a_disk_or_another_disk(text: bytes, words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        package(tar_of([*FILES, ("vm.mf", text)])).prove()


@unhurried
@given(
    st.lists(
        st.sampled_from(
            ["SHA256", "(", ")", "=", " ", "\n", "\r", "a" * 64, "0f" * 20, "name", "ü", "*", "\0", "\ufeff"]
        ),
        max_size=40,
    )
)
def test_any_manifest_is_read(pieces: list[str]) -> None:
    for data in ("".join(pieces).encode(), "".join(pieces).encode("utf-16")):
        for name, digest in parse_manifest(data):
            assert name is not None
            assert set(digest.value) <= set("0123456789abcdef")
        Manifest("m.mf", data).digest("name", "")


@unhurried
@given(st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=40))
def test_every_name_comes_back(name: str) -> None:
    stripped = name.strip()
    found = list(parse_manifest(f"SHA1({name})= {'0' * 40}\nSHA256 ( {name} ) = {'1' * 64}\r\n".encode()))
    assert [each for each, _ in found] == [stripped, stripped]


# -- loose packages


def folder(path: Path, files: dict[str, bytes | str]) -> Path:
    """A folder of files, and links where text is given; the path of its descriptor."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, str):
            (path / name).symlink_to(data)
        else:
            (path / name).write_bytes(data)
    return path / "vm.ovf"


LOOSE: dict[str, dict[str, bytes | str]] = {
    "plain": {"vm.ovf": OVF, NAME: VMDK},
    "utf-16": {"vm.ovf": OVF.decode().encode("utf-16"), NAME: VMDK},
    "below": {"vm.ovf": named("d/disk1.vmdk"), "d/disk1.vmdk": VMDK},
    "other case": {"vm.ovf": named("DISK1.VMDK"), NAME: VMDK},
    "decomposed": {"vm.ovf": named("b\u00fcro.vmdk"), "bu\u0308ro.vmdk": VMDK},
    "escaped in both": {"vm.ovf": named("my%20disk.vmdk"), "my%20disk.vmdk": VMDK},
    "SHA2-256": {"vm.ovf": OVF, NAME: VMDK, "vm.mf": LISTED["SHA2-256"]},
    "VM.MF": {"vm.ovf": OVF, NAME: VMDK, "VM.MF": sums()},
}


@pytest.mark.parametrize("files", LOOSE.values(), ids=LOOSE)
def test_sound_folders_are_read(files: dict[str, bytes | str], tmp_path: Path) -> None:
    ovf = folder(tmp_path, files)
    found = describe_file([ovf])
    assert found.machine.disks[0].capacity == DISK.size
    assert found.preflight is not None
    assert not [each for each in found.preflight.findings if each.rule == "ovf-package"]
    convert(Request(ovf, tmp_path / "out.raw", Format.RAW))
    assert (tmp_path / "out.raw").read_bytes() == RAW


HARMED: dict[str, tuple[dict[str, bytes | str], str]] = {
    "link": ({"vm.ovf": OVF, "real.vmdk": VMDK, NAME: "real.vmdk"}, "disk1.vmdk, which is a link"),
    "link away": ({"vm.ovf": OVF, NAME: "/etc/passwd"}, "a link to another directory"),
    "folder is a link": ({"vm.ovf": named("d/disk1.vmdk"), "e/disk1.vmdk": VMDK, "d": "e"}, "which is a link"),
    "manifest is a link": ({"vm.ovf": OVF, NAME: VMDK, "vm.mf": "/etc/passwd"}, "a link to another directory"),
    "gzip": ({"vm.ovf": OVF, NAME: GZIP}, "gzip"),
    "manifest differs": ({"vm.ovf": OVF, NAME: VMDK, "VM.MF": sums([("vm.ovf", OVF), (NAME, b"")])}, "differs"),
    "unlisted": ({"vm.ovf": OVF, NAME: VMDK, "vm.mf": sums(FILES[:1])}, f"does not name {NAME}"),
    "archive": ({"vm.ovf": named("d.img"), "d.img": tar_of(FILES)}, "which is an archive"),
}


@pytest.mark.parametrize(("files", "words"), HARMED.values(), ids=HARMED)
def test_preflight_and_conversion_refuse_the_same(files: dict[str, bytes | str], words: str, tmp_path: Path) -> None:
    ovf = folder(tmp_path / "vm", files)
    looks: list[Callable[[], object]] = [
        lambda: describe_file([ovf]),
        lambda: convert(Request(ovf, tmp_path / "out.raw", Format.RAW)),
    ]
    for look in looks:
        with pytest.raises(ServiceError) as raised:
            look()
        assert words in str(raised.value)
    assert not (tmp_path / "out.raw").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_a_large_package_is_proven_when_its_bytes_are_used(packed: bool, tmp_path: Path) -> None:
    """It is not read as a whole for a look, which says so; what is proven already is not read again either."""
    large = RAW.ljust(17 * MIB, b"\0")
    text = named("disk.img")
    files = [("vm.ovf", text), ("disk.img", large), ("vm.mf", sums([("vm.ovf", text), ("disk.img", b"")]))]
    source = tmp_path / "vm.ova"
    if packed:
        source.write_bytes(tar_of(files))
    else:
        source = folder(tmp_path, dict(files))
    found = describe_file([source])
    assert found.preflight is not None
    assert any("vm.mf" in each.what and each.severity is Severity.INFO for each in found.preflight.findings)
    with pytest.raises(ServiceError, match="its SHA256 differs"), open_source_disks(found.source):
        pass
    with open_source_disks(found.source, proven=True) as (disk,):
        assert sha256_of(disk.source) == hashlib.sha256(large).hexdigest()


def test_a_pipe_in_place_of_a_disk_is_not_waited_for(tmp_path: Path) -> None:
    ovf = folder(tmp_path, {"vm.ovf": OVF})
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(ServiceError, match="is no file"):
        describe_file([ovf])


@unhurried
@given(st.data())
def test_any_archive_is_read_or_refused(data: st.DataObject) -> None:
    """Blocks of a good archive changed, cut or repeated: a package or a ServiceError, never another exception."""
    good = bytearray(tar_of([("vm.ovf", OVF), ("vm.mf", sums()), (NAME, VMDK[:2048])], dialect=tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good)))
        piece = data.draw(st.sampled_from([b"", b"\0", b"S", b"x", b"\x80" * 8, b"ustar", b"9 path=/\n", b"\xff" * 20]))
        good[at : at + data.draw(st.integers(0, 600))] = piece
    try:
        package(bytes(good))
    except ServiceError:
        return
