"""The units of DSP0004 as descriptors write them, and their hardware in odd shapes: an answer or a refusal in words."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.ovf_texts import disk_item, item, ovf_text
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Firmware
from vmie_tui.services.disks.formats.ovf import is_ovf, parse_ovf, parse_unit

unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("byte", 1), ("Byte", 1), ("bytes", 1), ("bit * 8", 1), ("byte * 2^10", 1 << 10), ("byte*2^30", GIB),
        ("byte * 2 ^ 30", GIB), (" byte\t*  2^+20 ", MIB), ("byte * 1024 * 1024", MIB), ("byte*1024*1024*1024", GIB),
        ("2^20 * byte", MIB), ("byte * 10^9", 10**9), ("byte * 10^3 * 10^3", 10**6), ("byte * 2^40 / 2^10", GIB),
        ("byte * 512", 512), ("byte * 0.5", Fraction(1, 2)), ("KiloBytes", 1 << 10), ("MegaBytes", MIB),
        ("GigaBytes", GIB), ("TeraBytes", 1 << 40), ("KB", 1 << 10), ("MB", MIB), ("GB", GIB), ("gibibyte", GIB),
        ("MiB", MIB), ("kibibyte * 2^10", MIB),
    ],
)  # fmt: skip
def test_units_of_memory_and_capacity(text: str, bytes_: int | Fraction) -> None:
    assert parse_unit(text) == bytes_


@pytest.mark.parametrize(
    "text",
    ["", " ", "hertz", "byte byte", "byte * byte", "byte *", "* byte", "byte ^ 2", "byte * 2^", "byte * 2^^3", "2^30",
     "byte * 2^1000", "byte * 2^99999999", "byte / 0", "byte * 0", "byte * -1", "2 / byte", "byte * 2^30 * 2^90",
     "byte * ²", "byte * 1e9", "x" * 5000, "byte" + "*2" * 5000],
)  # fmt: skip
def test_what_is_no_unit(text: str) -> None:
    assert parse_unit(text) is None


@unhurried
@given(st.text(alphabet="byte kmgKMGBi0123456789*/^+-. ²", max_size=60) | st.text(max_size=200))
def test_any_text_is_a_unit_or_none(text: str) -> None:
    found = parse_unit(text)
    assert found is None or found > 0


@unhurried
@given(st.integers(0, 40), st.sampled_from(["byte*2^{}", "byte * 2 ^ {}", "2^{} * byte", "byte*2^{}*1"]))
def test_powers_of_two(power: int, shape: str) -> None:
    assert parse_unit(shape.format(power)) == 1 << power


@pytest.mark.parametrize(
    ("unit", "quantity", "mib"),
    [("byte", 4 * GIB, 4096), ("byte*2^30", 4, 4096), ("byte * 2^10", 4 << 20, 4096), ("KiloBytes", 4 << 20, 4096),
     ("GigaBytes", 4, 4096), ("", 512, 512), ("byte * 2^30", "0.5", 512), ("byte", 1, 1)],
)  # fmt: skip
def test_memory(unit: str, quantity: object, mib: int) -> None:
    found = parse_ovf(ovf_text([item(4, AllocationUnits=unit, VirtualQuantity=quantity)]))
    assert (found.memory_mib, found.doubts) == (mib, ())


@pytest.mark.parametrize(("unit", "quantity"), [("parsec", 4), ("byte * 2^30", "much"), ("byte * 2^60", 1 << 62)])
def test_memory_that_is_not_understood_is_said(unit: str, quantity: object) -> None:
    found = parse_ovf(ovf_text([item(4, AllocationUnits=unit, VirtualQuantity=quantity)]))
    assert found.memory_mib == 1024
    assert "memory is not understood" in found.doubts[0]


def files(data: bytes) -> list[str]:
    return [disk.file for disk in parse_ovf(data).disks]


def test_the_default_configuration_counts() -> None:
    options = (
        '<DeploymentOptionSection><Configuration id="small"/><Configuration id="big"{}/></DeploymentOptionSection>'
    )
    items = [
        item(3, InstanceID=1, VirtualQuantity=2),
        item(3, "big", InstanceID=1, VirtualQuantity=8),
        item(4, "small", InstanceID=2, VirtualQuantity=512),
        item(4, "big huge", InstanceID=2, VirtualQuantity=4096),
        disk_item("d1", 0, configuration="small"),
        disk_item("d2", 0, configuration="big"),
    ]
    marked = ovf_text(items, ["a.vmdk", "b.vmdk"], front=options.format(' ovf:default="true"'))
    first = ovf_text(items, ["a.vmdk", "b.vmdk"], front=options.format(""))
    for data, expected in ((marked, (8, 4096, ["b.vmdk"])), (first, (2, 512, ["a.vmdk"]))):
        found = parse_ovf(data)
        assert (found.cpus, found.memory_mib, files(data)) == expected


def test_bounds_are_no_values() -> None:
    bounds = [
        item(4, bound="min", VirtualQuantity=1),
        item(4, VirtualQuantity=2048),
        item(4, bound="max", VirtualQuantity=9),
    ]
    assert parse_ovf(ovf_text(bounds)).memory_mib == 2048


SCSI, SCSI1, IDE, SATA, NVME = (
    item(6, InstanceID=3, Address=0),
    item(6, InstanceID=4, Address=1),
    item(5, InstanceID=5, Address=0),
    item(20, InstanceID=6, Address=0, ResourceSubType="vmware.sata.ahci"),
    item(20, InstanceID=7, Address=0, ResourceSubType="vmware.nvme.controller"),
)


@pytest.mark.parametrize(
    ("items", "order"),
    [
        ([SCSI, disk_item("d1", 1), disk_item("d2", 0)], "ba"),
        ([SCSI, disk_item("d1", 10), disk_item("d2", 2)], "ba"),
        ([SCSI1, SCSI, disk_item("d1", 0, parent=4), disk_item("d2", 5)], "ba"),
        ([SCSI, IDE, disk_item("d1", 0), disk_item("d2", 1, parent=5)], "ba"),
        ([NVME, SATA, disk_item("d1", 0, parent=7), disk_item("d2", 3, parent=6)], "ba"),
        ([SATA, SCSI, disk_item("d1", 0), disk_item("d2", 0, parent=6)], "ab"),
        ([disk_item("d2", None, parent=None), disk_item("d1", None, parent=None)], "ba"),
        ([disk_item("d1", 1, parent=None), disk_item("d2", 0, parent=None)], "ba"),
        ([SCSI, disk_item("d1", "first"), disk_item("d2", 3)], "ba"),
        ([], "ab"),
        ([SCSI, disk_item("d2", 0)], "ba"),
        ([SCSI, disk_item("d1", 0, host="/disk/d2"), disk_item("d2", 1, host="ovf://disk/d1")], "ba"),
        ([SCSI, disk_item("d1", 0, host="ovf:/file/f2"), disk_item("d2", 1, host="group/d1")], "ba"),
    ],
)
def test_the_boot_disk_is_first(items: list[str], order: str) -> None:
    assert "".join(name[0] for name in files(ovf_text(items, ["a.vmdk", "b.vmdk"]))) == order


def test_a_boot_order_beats_the_places() -> None:
    boot = '<vmw:BootOrderSection vmw:instanceId="{}" vmw:type="disk"/>'
    items = [SCSI, disk_item("d1", 0, ident=20), disk_item("d2", 1, ident=21), disk_item("d3", 2, ident=22)]
    names = ["a.vmdk", "b.vmdk", "c.vmdk"]
    assert files(ovf_text(items, names, tail=boot.format(22))) == ["c.vmdk", "a.vmdk", "b.vmdk"]
    assert files(ovf_text(items, names, tail=boot.format("99 21 22"))) == ["b.vmdk", "c.vmdk", "a.vmdk"]


def test_what_is_no_disk_of_the_machine() -> None:
    items = [
        SCSI,
        disk_item("d1", 0),
        item(20, InstanceID=8, ResourceSubType="vmware.nvdimm.controller"),
        item(17, InstanceID=9, Parent=8, HostResource="ovf:/disk/d2"),
        item(17, InstanceID=10, ResourceSubType="vmware.nvdimm.device", HostResource="ovf:/disk/d3"),
        item(15, InstanceID=11, HostResource="ovf:/disk/d4"),
    ]
    assert files(ovf_text(items, ["a.vmdk", "b.vmdk", "c.vmdk", "d.vmdk"])) == ["a.vmdk"]
    delta = parse_ovf(
        ovf_text([SCSI, disk_item("d2", 0)], ["base.vmdk", "top.vmdk"], extra={"d2": 'ovf:parentRef="d1"'})
    )
    assert [(disk.file, disk.parent) for disk in delta.disks] == [("top.vmdk", "base.vmdk")]
    empty = parse_ovf(ovf_text([SCSI, disk_item("d1", 0), disk_item("d2", 1)], ["a.vmdk", ""]))
    assert ([disk.file for disk in empty.disks], empty.empty) == (["a.vmdk"], (("Disk 1", 8),))


@pytest.mark.parametrize(
    ("tail", "firmware"),
    [
        ('<vbox:Machine><Hardware><Firmware type="EFI"/></Hardware></vbox:Machine>', Firmware.UEFI),
        ('<vbox:Machine><Hardware><Firmware type="EFI64"/></Hardware></vbox:Machine>', Firmware.UEFI),
        ('<vbox:Machine><Hardware><Firmware type="BIOS"/></Hardware></vbox:Machine>', Firmware.BIOS),
        ('<vmw:Config vmw:key="firmware" vmw:value="EFI"/>', Firmware.UEFI),
        ('<vmw:ExtraConfig vmw:key="firmware" vmw:value="efi"/>', Firmware.UEFI),
        ('<vmw:Config vmw:key="firmware" vmw:value="other"/>', None),
        ("", None),
    ],
)
def test_firmware(tail: str, firmware: Firmware | None) -> None:
    assert parse_ovf(ovf_text([], tail=tail)).firmware is firmware


OVIRT = """<?xml version='1.0' encoding='UTF-8'?>
<ovf:Envelope xmlns:ovf="o" xmlns:rasd="r" xmlns:xsi="x"><References><File ovf:href="u1" ovf:id="u1" ovf:size="10"/>
<File ovf:href="u2" ovf:id="u2" ovf:size="10"/></References><Section xsi:type="ovf:DiskSection_Type">
<Disk ovf:diskId="d1" ovf:parentRef="" ovf:fileRef="u1" ovf:boot="false" ovf:capacity="10"/>
<Disk ovf:diskId="d2" ovf:parentRef="" ovf:fileRef="u2" ovf:boot="true" ovf:capacity="10"
 ovf:capacityAllocationUnits="byte * 2^30"/></Section>
<Content ovf:id="out" xsi:type="ovf:VirtualSystem_Type"><Name>web</Name><BiosType>4</BiosType>
<Section xsi:type="ovf:VirtualHardwareSection_Type">
<Item><rasd:InstanceId>1</rasd:InstanceId><rasd:ResourceType>3</rasd:ResourceType>
<rasd:num_of_sockets>2</rasd:num_of_sockets><rasd:cpu_per_socket>3</rasd:cpu_per_socket></Item>
<Item><rasd:InstanceId>2</rasd:InstanceId><rasd:ResourceType>4</rasd:ResourceType>
<rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:VirtualQuantity>4096</rasd:VirtualQuantity></Item>
<Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>group/d1</rasd:HostResource></Item>
<Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>group/d2</rasd:HostResource></Item>
</Section></Content></ovf:Envelope>"""


def test_ovirts_descriptor() -> None:
    found = parse_ovf(OVIRT.encode())
    assert (found.name, found.cpus, found.memory_mib) == ("web", 6, 4096)
    assert (found.firmware, found.secure_boot) == (Firmware.UEFI, True)
    assert [(disk.file, disk.capacity) for disk in found.disks] == [("u2", 10 * GIB), ("u1", 10)]


def test_several_machines_are_refused_with_their_names() -> None:
    one = ovf_text([]).decode()
    system = one[one.index("<VirtualSystem ") : one.index("</Envelope>")]
    for count, fits in ((1, True), (2, False), (12, False)):
        inner = "".join(system.replace("<Name>vm</Name>", f"<Name>m{n}</Name>") for n in range(count))
        text = one.replace(system, f"<VirtualSystemCollection>{inner}</VirtualSystemCollection>").encode()
        if fits:
            assert parse_ovf(text).name == "m0"
            continue
        with pytest.raises(ServiceError, match=f"{count} machines: m0, m1") as raised:
            parse_ovf(text)
        assert raised.value.kind is ErrorKind.INVALID


# -- the text itself


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_told_by_its_bytes(encoding: str) -> None:
    text = ovf_text([], ["büro.vmdk"]).decode()
    for declared in ("UTF-8", "UTF-16"):
        data = f'<?xml version="1.0" encoding="{declared}"?>\r\n{text}'.encode(encoding)
        assert is_ovf(data[:8192])
        assert files(data) == ["büro.vmdk"]


@pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1252", "GB18030", "Shift_JIS", "EUC-JP", "Big5"])
def test_declared_encodings(encoding: str) -> None:
    name = "büro.vmdk" if encoding in {"iso-8859-1", "windows-1252", "GB18030"} else "本.vmdk"
    text = ovf_text([], [name]).decode()
    assert files(f"<?xml version='1.0' encoding='{encoding}' ?>{text}".encode(encoding)) == [name]


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("windows-31j", "cp932"),
        ("x-sjis", "cp932"),
        ("ISO-2022-JP", "iso2022_jp"),
        ("windows-949", "cp949"),
        ("Windows-874", "cp874"),
        ("TIS-620", "tis-620"),
        ("macintosh", "mac-roman"),
    ],
)
def test_encodings_by_the_names_that_other_programs_give_them(encoding: str, codec: str) -> None:
    name = {"cp949": "디스크.vmdk", "cp874": "ดิสก์.vmdk", "tis-620": "ดิสก์.vmdk", "mac-roman": "büro.vmdk"}.get(
        codec, "表.vmdk"
    )
    text = ovf_text([], [name]).decode()
    assert files(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(codec)) == [name]


@pytest.mark.parametrize(
    "encoding", ["punycode", "idna", "utf-7", "unicode_escape", "zlib", "rot13", "nonsense", "\u00e9"]
)
def test_other_encodings_are_refused(encoding: str) -> None:
    text = ovf_text([]).decode()
    with pytest.raises(ServiceError, match="encoding that is not known"):
        parse_ovf(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("document", ['<!DOCTYPE x [<!ENTITY a "b">]>', '<!DOCTYPE x SYSTEM "file:///etc/passwd">'])
def test_a_document_type_is_refused_in_any_encoding(encoding: str, document: str) -> None:
    with pytest.raises(ServiceError, match="declares entities") as raised:
        parse_ovf((document + ovf_text([]).decode()).encode(encoding))
    assert raised.value.kind is ErrorKind.CORRUPT


def test_only_a_real_document_type_is_one() -> None:
    note = "<!-- <!DOCTYPE x> --><Annotation><![CDATA[<!DOCTYPE html><!ENTITY]]></Annotation>"
    assert parse_ovf(ovf_text([], front=note)).name == "vm"


@pytest.mark.parametrize("text", [b"", b"x", b"<Envelope>", b"<a>" * 5000, b"\xff\xfe<", b"<Envelope>\xff</Envelope>"])
def test_what_cannot_be_parsed_is_corrupt(text: bytes) -> None:
    with pytest.raises(ServiceError) as raised:
        parse_ovf(text)
    assert raised.value.kind is ErrorKind.CORRUPT


WORDS = [
    *("<Item>", "</Item>", '<Disk diskId="d1" fileRef="f1"/>', "byte * 2^", "&lt;", "\0", "9" * 25, "-1", "../", "]]>"),
    *('ovf:size="x"', "<!DOCTYPE x>", "<VirtualSystem/>", "\u202e", "<rasd:ResourceType>17</rasd:ResourceType>"),
]


@unhurried
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 60), st.sampled_from(WORDS)), min_size=1, max_size=6),
    st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32-le", "cp1252"]),
)
def test_a_descriptor_that_was_changed_is_parsed_or_refused(changes: list[tuple[int, int, str]], encoding: str) -> None:
    text = ovf_text(
        [SCSI, disk_item("d1", 1), disk_item("d2", 0), item(4, VirtualQuantity=4)], ["a.vmdk", "b.vmdk"]
    ).decode()
    for at, length, piece in changes:
        text = text[:at] + piece + text[at + length :]
    try:
        found = parse_ovf(text.encode(encoding, "replace"))
    except ServiceError:
        return
    assert found.memory_mib >= 1
    assert all(disk.file and not disk.file.startswith("/") and ".." not in disk.file.split("/") for disk in found.disks)
