"""Disk image files described as machines, and all of their bytes: what the rules and the jobs start from."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits import disk_containers as writers
from tests.kits.disk_images import Sparse
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Firmware, OsFamily
from vmie_tui.model.plan import FileSource, Route, VmSource
from vmie_tui.model.rules.systems import system_of
from vmie_tui.services.disks import convert
from vmie_tui.services.disks.formats.ovf import parse_ovf
from vmie_tui.services.disks.streams.read_ahead import ReadAhead
from vmie_tui.services.disks.streams.source import RawFile, sha256_of
from vmie_tui.services.image_sources import describe_file, open_source_disks
from vmie_tui.simulators.fleet import guests
from vmie_tui.simulators.fleet.tiny import make_boot

QEMU = shutil.which("qemu-img")
F = convert.Format


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same Debian in every kind of image."""
    made = tmp_path_factory.mktemp("images")
    raw = made / "debian.raw"
    make_boot(raw, 9 << 20, 1 << 20, "describe")
    written = {"web.ova": F.OVA, "stream.vmdk": F.VMDK, "fix.vhd": F.VHD_FIXED, "dyn.vhd": F.VHD_DYNAMIC}
    for name, kind in written.items():
        convert.convert(convert.Request(raw, made / name, kind, raw=True), lambda done, total: None)
    with tarfile.open(made / "web.ova") as archive:
        archive.extractall(made / "unpacked", filter="data")
    with RawFile(raw) as disk:
        (made / "sparse.vmdk").write_bytes(writers.vmdk_sparse(disk))
        (made / "disk.vhdx").write_bytes(writers.vhdx(disk))
    (made / "flat.vmdk").write_text(
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        f'RW {raw.stat().st_size // 512} FLAT "debian.raw" 0\n'
    )
    return made


@pytest.fixture(scope="module")
def content(folder: Path) -> str:
    with RawFile(folder / "debian.raw") as disk:
        return sha256_of(disk)


def read(paths: Sequence[Path], **chosen: object) -> list[str]:
    found = describe_file(paths, **chosen)  # type: ignore[arg-type]
    with open_source_disks(found.source) as disks:
        assert [disk.name for disk in disks] == [disk.label for disk in found.machine.disks]
        assert [disk.source.size for disk in disks] == [disk.capacity for disk in found.machine.disks]
        return [sha256_of(disk.source) for disk in disks]


KINDS = {
    "debian.raw": "raw",
    "web.ova": "vmdk-stream streamOptimized",
    "unpacked/web.ovf": "vmdk-stream streamOptimized",
    "stream.vmdk": "vmdk-stream streamOptimized",
    "sparse.vmdk": "vmdk-sparse monolithicSparse",
    "flat.vmdk": "vmdk-descriptor monolithicFlat",
    "fix.vhd": "vhd fixed",
    "dyn.vhd": "vhd dynamic",
    "disk.vhdx": "vhdx dynamic",
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image_is_the_same_machine_and_the_same_bytes(name: str, folder: Path, content: str) -> None:
    found = describe_file([folder / name])
    (disk,) = found.machine.disks
    assert disk.image == KINDS[name]
    assert disk.capacity == (folder / "debian.raw").stat().st_size
    assert found.machine.os_family is OsFamily.LINUX
    assert (system_of(found.machine).name, found.machine.firmware) == ("Debian 12", Firmware.BIOS)
    assert found.preflight is not None
    assert found.preflight.guest is not None
    assert found.preflight.target == str(folder / name)
    assert found.source == FileSource(Path(name).stem, (str(folder / name),))
    assert found.machine.path == Path(name).stem
    assert read([folder / name]) == [content]


@pytest.mark.skipif(QEMU is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("kind", ["qcow2", "vdi"])
def test_what_only_qemu_img_reads(kind: str, folder: Path, content: str, tmp_path: Path) -> None:
    path = tmp_path / f"disk.{kind}"
    assert QEMU is not None
    subprocess.run([QEMU, "convert", "-O", kind, str(folder / "debian.raw"), str(path)], check=True)
    found = describe_file([path])
    (disk,) = found.machine.disks
    assert (disk.image, disk.capacity) == (kind, (folder / "debian.raw").stat().st_size)
    assert found.preflight is not None
    (missed,) = found.preflight.not_inspected
    assert "qemu-img" in missed.why
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_source_disks(found.source, scratch=scratch) as disks:
        assert [sha256_of(disk.source) for disk in disks] == [content]
        assert len(list(scratch.iterdir())) == 1
    assert list(scratch.iterdir()) == []


def test_without_qemu_img_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(16) + (1 << 20).to_bytes(8, "big") + bytes(2000))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError) as raised:
        describe_file([path])
    assert raised.value.kind is ErrorKind.LOCAL
    assert "qemu-utils" in str(raised.value)


def test_several_files_are_the_disks_of_one_machine(folder: Path, content: str) -> None:
    found = describe_file([folder / "stream.vmdk", folder / "debian.raw"])
    assert [(disk.key, disk.label) for disk in found.machine.disks] == [(1, "stream.vmdk"), (2, "debian.raw")]
    assert read([folder / "stream.vmdk", folder / "debian.raw"]) == [content, content]


def test_raw_is_taken_as_it_is(folder: Path) -> None:
    """The bytes of the file, not of the disk it holds."""
    found = describe_file([folder / "stream.vmdk"], raw=True)
    assert found.machine.disks[0].image == "raw"
    assert found.machine.disks[0].capacity == (folder / "stream.vmdk").stat().st_size
    assert not found.machine.os_name
    assert len(read([folder / "stream.vmdk"], raw=True)) == 1


def test_no_look_when_none_is_wanted(folder: Path) -> None:
    found = describe_file([folder / "web.ova"], look=False)
    assert found.preflight is None
    assert found.machine.disks[0].capacity == (folder / "debian.raw").stat().st_size


def test_a_data_disk_is_no_machine_of_an_unknown_system(tmp_path: Path) -> None:
    guests.restore("data-ext4", tmp_path / "data.raw")
    found = describe_file([tmp_path / "data.raw"])
    assert found.preflight is not None
    assert (found.machine.guest_id, found.machine.os_name) == ("", "")
    assert [f.headline for f in found.preflight.blockers] == []


def test_a_uefi_windows_is_seen(tmp_path: Path) -> None:
    guest = next(guest for guest in guests.index().values() if guest.boot == "uefi" and guest.name.startswith("ws"))
    guests.restore(guest.name, tmp_path / "win.raw")
    machine = describe_file([tmp_path / "win.raw"]).machine
    assert machine.firmware is Firmware.UEFI
    assert machine.os_family is OsFamily.WINDOWS_SERVER


@pytest.mark.parametrize(
    ("route", "verdict"), [(Route.IMAGE, "blocked"), (Route.UNMODIFIED, "warnings"), (Route.SNAPSHOT, "ready")]
)
def test_what_a_blocker_means_depends_on_the_route(route: Route, verdict: str, tmp_path: Path) -> None:
    guests.restore("debian12-no-fstab", tmp_path / "bad.raw")
    found = describe_file([tmp_path / "bad.raw"], route=route)
    assert found.preflight is not None
    assert found.preflight.verdict == verdict
    assert any(finding.prevents for finding in found.preflight.findings) is (route is Route.IMAGE)


# -- OVF

ENVELOPE = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vmw="http://www.vmware.com/schema/ovf">
<References><File ovf:id="f1" ovf:href="{first}"/><File ovf:id="f2" ovf:href="boot.vmdk"/></References>
<DiskSection><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="4" ovf:capacityAllocationUnits="byte * 2^30"/>
<Disk ovf:diskId="d2" ovf:fileRef="f2" ovf:capacity="1048576"/><Disk ovf:diskId="empty" ovf:capacity="9"/></DiskSection>
<VirtualSystem ovf:id="web"><Name>web &amp; co</Name>
<OperatingSystemSection ovf:id="96" vmw:osType="debian12_64Guest"><Description>Debian 12</Description>
</OperatingSystemSection>
<VirtualHardwareSection>
<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>4</rasd:VirtualQuantity></Item>
<Item><rasd:AllocationUnits>byte * 2^30</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType>
<rasd:VirtualQuantity>8</rasd:VirtualQuantity></Item>
<Item><rasd:ElementName>Hard disk 1</rasd:ElementName><rasd:HostResource>ovf:/disk/d2</rasd:HostResource>
<rasd:ResourceType>17</rasd:ResourceType></Item>
<Item><rasd:ElementName>Hard disk 2</rasd:ElementName><rasd:HostResource>ovf:/disk/d1</rasd:HostResource>
<rasd:ResourceType>17</rasd:ResourceType></Item>
<Item><rasd:ElementName>Network 1</rasd:ElementName><rasd:ResourceType>10</rasd:ResourceType></Item>
<vmw:Config vmw:key="firmware" vmw:value="efi"/>
<vmw:Config vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"/>
</VirtualHardwareSection></VirtualSystem></Envelope>"""


def test_an_ovf_tells_hardware_and_the_order_of_the_disks() -> None:
    ovf = parse_ovf(ENVELOPE.format(first="data.vmdk").encode())
    assert [(disk.file, disk.label, disk.capacity) for disk in ovf.disks] == [
        ("boot.vmdk", "Hard disk 1", 1 << 20),
        ("data.vmdk", "Hard disk 2", 4 << 30),
    ]
    assert (ovf.name, ovf.cpus, ovf.memory_mib) == ("web & co", 4, 8192)
    assert (ovf.firmware, ovf.secure_boot) == (Firmware.UEFI, True)
    assert (ovf.guest_id, ovf.guest_name, len(ovf.nics)) == ("debian12_64Guest", "Debian 12", 1)


def test_an_ovf_on_disk_is_its_machine(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "stream.vmdk", tmp_path / "boot.vmdk")
    guests.restore("data-ext4", tmp_path / "data.raw")
    (tmp_path / "web.ovf").write_text(ENVELOPE.format(first="data.raw"))
    found = describe_file([tmp_path / "web.ovf"])
    assert [disk.label for disk in found.machine.disks] == ["boot.vmdk", "data.raw"]
    assert (found.machine.cpus, found.machine.memory_mib, found.machine.firmware) == (4, 8192, Firmware.UEFI)
    assert found.machine.secure_boot
    assert found.preflight is not None
    assert found.preflight.guest is not None
    assert len(found.preflight.guest.disks) == 2
    assert len(read([tmp_path / "web.ovf"])) == 2


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("../secret.vmdk", "elsewhere"),
        ("/etc/passwd", "elsewhere"),
        ("https://example.com/a.vmdk", "elsewhere"),
        ("..%2Fsecret.vmdk", "elsewhere"),
        ("web.ovf", "which is an OVF"),
        ("gone.vmdk", "the OVF names gone.vmdk, which is not beside it"),
    ],
)
def test_an_ovf_names_files_beside_it_only(first: str, words: str, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "stream.vmdk", tmp_path / "boot.vmdk")
    (tmp_path / "web.ovf").write_text(ENVELOPE.format(first=first))
    with pytest.raises(ServiceError) as raised:
        describe_file([tmp_path / "web.ovf"])
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><Envelope>&b;</Envelope>',
        b"<Envelope>",
        b"<Envelope>" + b" " * (1 << 20) + b"</Envelope>",
        b'<?xml version="1.0" encoding="nonsense"?><Envelope/>',
    ],
)
def test_a_bad_ovf_is_refused(text: bytes) -> None:
    with pytest.raises(ServiceError) as raised:
        parse_ovf(text)
    assert raised.value.kind is ErrorKind.CORRUPT


def test_chunked_disks_are_refused_with_the_documented_error() -> None:
    text = ENVELOPE.format(first="a.vmdk").replace('ovf:id="f2"', 'ovf:id="f2" ovf:chunkSize="7"')
    with pytest.raises(ServiceError) as raised:
        parse_ovf(text.encode())
    assert raised.value.problem.detail


def test_an_ova_is_no_disk_of_another_machine(folder: Path) -> None:
    with pytest.raises(ServiceError) as raised:
        describe_file([folder / "stream.vmdk", folder / "web.ova"])
    assert raised.value.kind is ErrorKind.INVALID
    assert "whole machine" in str(raised.value)


# -- what an argument means


def test_a_vm_has_no_disks_to_open_here() -> None:
    with pytest.raises(TypeError), open_source_disks(VmSource("vc", "vm-1", "web")):
        pass


# -- read ahead


def test_reading_ahead_gives_the_same_bytes_in_any_order() -> None:
    data = bytes(range(256)) * 40
    asked: list[int] = []

    class Slow(Sparse):
        def read_at(self, offset: int, length: int) -> bytes:
            asked.append(offset)
            return data[offset : offset + length]

    with ReadAhead(Slow(len(data), {}), piece=1000) as reader:
        assert reader.size == len(data)
        assert b"".join(reader.read_at(at, 700) for at in range(0, len(data), 700)) == data
        assert sorted(asked) == list(range(0, len(data), 1000)), "each piece is asked for once"
        assert reader.read_at(9_999, 10_000) == data[9_999:]
        assert reader.read_at(5, 2_500) == data[5:2_505]
        assert reader.read_at(len(data), 5) == b""


def test_a_short_answer_is_no_end() -> None:
    class Short(Sparse):
        def read_at(self, offset: int, length: int) -> bytes:
            return b"x"

    with ReadAhead(Short(100, {}), piece=50) as reader, pytest.raises(ServiceError) as raised:
        reader.read_at(0, 10)
    assert raised.value.kind is ErrorKind.CORRUPT


@settings(deadline=None)
@given(st.data())
def test_whatever_an_ovf_holds_is_parsed_or_refused(data: st.DataObject) -> None:
    """Bytes of a good descriptor changed, cut or repeated: an answer or a ServiceError, never another exception."""
    text = bytearray(ENVELOPE.format(first="data.vmdk").encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(st.sampled_from([b"", b"\0", b"-1", b"9" * 30, b'"', b"<", b"&#x0;", b"../", b"\xff\xfe"]))
        text[at : at + data.draw(st.integers(0, 40))] = piece
        if not text:
            return
    try:
        ovf = parse_ovf(bytes(text))
    except ServiceError:
        return
    assert all(disk.file and not {"/", ".."} & set(PurePosixPath(disk.file).parts) for disk in ovf.disks)
    assert ovf.cpus >= 1
    assert ovf.memory_mib >= 1
