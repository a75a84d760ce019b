"""An OVA as a stream to S3: readable by everybody, resumed, stopped, in little memory, and imported byte-equal."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from tests.kits.aws_world import BUCKET, PART, REGION, Control, Source, World, content, store_for
from tests.kits.disk_containers import Memory, plenty
from tests.kits.disk_images import Sparse
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.machine import Disk, Firmware, Machine, Nic
from vmie_tui.model.plan import UploadFormat
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.s3 import ova_upload
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.multipart import MIB, SMALLEST_PART, crc_of, crc_text
from vmie_tui.services.aws.s3.ova_upload import OvaDisk, OvaRequest, OvaUpload
from vmie_tui.services.aws.s3.resumable_upload import UploadRequest
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.aws.vmie.import_tasks import ImageRequest, ImportTasks
from vmie_tui.services.disks.feeds import disk_feed as feeds
from vmie_tui.services.disks.formats.open_disk import open_disks
from vmie_tui.services.disks.streams.source import sha256_of
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.fleet import guests

# compressed sizes of about 17, 0 and 7 MiB: headers in parts of their own, and in the middle of an open one
DISKS = [
    Sparse(40 * MIB, {MIB: content(17 * MIB)}),
    Sparse(9 * MIB, {512: content(2000, 2)}),
    Sparse(20 * MIB, {5 * MIB: content(7 * MIB, 3)}),
]
MACHINE = Machine(
    "vm-1",
    "Büro & Söhne <1>",
    guest_id="ubuntu64Guest",
    firmware=Firmware.UEFI,
    secure_boot=True,
    cpus=6,
    memory_mib=12288,
    disks=(
        Disk(2000, "Hard disk 1", 40 * MIB, "scsi0:0"),
        Disk(2001, "Hard disk 2", 9 * MIB, "sata0:3"),
        Disk(2002, "Hard disk 3", 20 * MIB, "nvme0:1"),
    ),
    nics=(Nic("Network adapter 1", network="dv & prod"), Nic("Network adapter 2", network="backup")),
)


def feed(source: Sparse, name: str) -> feeds.Feed:
    return feeds.disk_feed(source, UploadFormat.VMDK, name=name)


def request(key: str, disks: list[Sparse] | None = None, **options: object) -> OvaRequest:
    given = DISKS if disks is None else disks
    members = [
        OvaDisk(f"disk-{n}.vmdk", disk.size, feeds.stored_size(disk, UploadFormat.VMDK), partial(feed, disk, f"d{n}"))
        for n, disk in enumerate(given, 1)
    ]
    return OvaRequest(BUCKET, key, MACHINE, members, **options)  # type: ignore[arg-type]


def read(aws: Aws, key: str) -> bytes:
    body: bytes = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def test_the_archive_is_what_everybody_can_read(aws: World) -> None:
    simulator, session = aws
    budget, control = BufferBudget(8 * PART), Control()
    done = OvaUpload(store_for(session, budget=budget)).upload(request("vm/büro.ova"), control=control)
    data = read(session, "vm/büro.ova")
    assert (done.size, done.sent, done.skipped, control.sent_bytes) == (len(data), len(data), 0, len(data))
    assert done.parts == simulator.stats["s3:UploadPart"]
    assert done.checksum == crc_text(crc_of(data))
    assert budget.lent == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        bodies = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert names == ["b_ro.ovf", "disk-1.vmdk", "disk-2.vmdk", "disk-3.vmdk", "b_ro.mf"]
    sums = [f"SHA256({name})= {hashlib.sha256(bodies[name]).hexdigest()}\n" for name in names[:-1]]
    assert bodies["b_ro.mf"].decode() == "".join(sums)
    for member in done.members:
        assert data[member.offset : member.offset + member.size] == bodies[member.name]
    for disk, source in zip(open_disks(Memory(data), plenty), DISKS, strict=True):
        assert sha256_of(disk) == sha256_of(source)


def test_an_import_of_it_is_byte_equal_disk_by_disk(aws: World, tmp_path: Path) -> None:
    simulator, session = aws
    guests.restore("tiny-linux", tmp_path / "boot.raw")
    boot = (tmp_path / "boot.raw").read_bytes()
    disks = [Sparse(len(boot), {0: boot}), *DISKS[1:]]
    OvaUpload(store_for(session)).upload(request("import.ova", disks), control=Control())
    api = ImportTasks(session, REGION)
    simulator.clock.speed = 5000
    task = api.import_image(
        ImageRequest(disks=((BUCKET, "import.ova", "OVA", "machine"),), description="", role_name="vmimport")
    )
    ended = wait_until(lambda: now if (now := api.task(task.id)).terminal else None, 60, "the import's end")
    assert ended.completed, ended
    assert len(ended.disks) == len(disks)
    for found, source in zip(ended.disks, disks, strict=True):
        with SnapshotReader(session, REGION, found.snapshot_id, source.size) as stored:
            assert sha256_of(stored) == sha256_of(source)


def test_the_descriptor_tells_the_machines_hardware(aws: World) -> None:
    _, session = aws
    OvaUpload(store_for(session)).upload(request("hardware.ova", DISKS), control=Control())
    data = read(session, "hardware.ova")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        text = archive.extractfile("hardware.ovf").read()  # type: ignore[union-attr]
    tree, ovf = ET.fromstring(text), "{http://schemas.dmtf.org/ovf/envelope/1}"
    rasd = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
    items = [{node.tag.removeprefix(rasd): node.text for node in item} for item in tree.iter(f"{ovf}Item")]
    by_kind = {kind: [item for item in items if item["ResourceType"] == str(kind)] for kind in (3, 4, 6, 10, 17, 20)}
    assert [item["VirtualQuantity"] for item in by_kind[3] + by_kind[4]] == ["6", "12288"]
    controllers = {item["InstanceID"]: item["ElementName"] for item in by_kind[6] + by_kind[20]}
    assert [
        (controllers[disk["Parent"] or ""], disk["AddressOnParent"], disk["HostResource"]) for disk in by_kind[17]
    ] == [
        ("SCSI controller 0", "0", "ovf:/disk/vmdisk1"),
        ("SATA controller 0", "3", "ovf:/disk/vmdisk2"),
        ("NVMe controller 0", "1", "ovf:/disk/vmdisk3"),
    ]
    assert [item["Connection"] for item in by_kind[10]] == ["dv & prod", "backup"]
    assert {node.get(f"{ovf}name") for node in tree.iter(f"{ovf}Network")} == {"dv & prod", "backup"}
    vmw = "{http://www.vmware.com/schema/ovf}"
    config = {node.get(f"{vmw}key"): node.get(f"{vmw}value") for node in tree.iter(f"{vmw}Config")}
    assert config == {"firmware": "efi", "bootOptions.efiSecureBootEnabled": "true"}
    assert tree.findtext(f".//{ovf}Name") == MACHINE.name
    for item in items:
        assert list(item) == sorted(item)  # the standard's order


@pytest.mark.parametrize("first", [PART, 4 * PART])
def test_parts_that_are_there_are_not_sent_again(aws: World, first: int) -> None:
    simulator, session = aws
    key = f"again-{first}.ova"
    store = store_for(session)
    with pytest.raises(Cancelled):
        OvaUpload(store).upload(request(key), control=Control(first, Cancelled()))
    upload = store.find_upload(BUCKET, key)
    assert upload is not None
    there = {part.number: part.size for part in store.list_parts(upload)}
    before, control = simulator.stats["s3:UploadPart"], Control()
    done = OvaUpload(store).upload(request(key), control=control)
    assert done.skipped == sum(there.values()) >= first
    assert simulator.stats["s3:UploadPart"] - before == done.parts - len(there)
    assert (control.sent_bytes, control.skipped_bytes) == (done.sent, done.skipped)
    data = read(session, key)
    assert done.checksum == crc_text(crc_of(data))
    for disk, source in zip(open_disks(Memory(data), plenty), DISKS, strict=True):
        assert sha256_of(disk) == sha256_of(source)


def test_a_budget_of_less_than_its_parts_never_locks_it(aws: World) -> None:
    """Three archives at once, each holding up to two parts, and a plain upload, in memory for one part and a half."""
    _, session = aws
    budget = BufferBudget(PART + PART // 2)
    store = store_for(session, budget=budget)
    plain = content(3 * PART, 9)
    jobs: list[Callable[[], object]] = [
        partial(OvaUpload(store).upload, request(f"tight-{n}.ova"), control=Control()) for n in range(3)
    ]
    jobs.append(partial(store.upload, UploadRequest(BUCKET, "tight", len(plain)), Source(plain), control=Control()))
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert budget.lent == 0
    assert budget.peak <= 3 * 2 * SMALLEST_PART + PART  # what three hold, and one that moves
    whole = read(session, "tight-0.ova")
    assert read(session, "tight-1.ova")[-2000:] != b"" and len(read(session, "tight-2.ova")) == len(whole)
    assert read(session, "tight") == plain


def test_it_never_holds_more_than_two_small_parts(aws: World) -> None:
    _, session = aws
    budget = BufferBudget(1 << 40)
    held: list[list[int]] = []

    class Watching(Control):
        def check(self) -> None:
            held.append([len(buffer) for buffer in list(budget._held.values())])
            super().check()

    store = store_for(session, budget=budget, parallel=1, part_size=lambda size: 2 * PART)
    OvaUpload(store).upload(request("held.ova"), control=Watching())
    assert max(map(len, held)) == 2
    assert max(map(sum, held)) <= 2 * SMALLEST_PART
    assert budget.peak <= 2 * SMALLEST_PART + 2 * 2 * PART  # and one that is filled, one under way


def test_a_stop_breaks_off_at_once_and_ends_the_feeds(aws: World) -> None:
    simulator, session = aws
    hang = simulator.faults.add(Fault("UploadPart", "delay", times=None, match="/hanging", seconds=30))
    stop, budget, outcome = threading.Event(), BufferBudget(8 * PART), list[float]()
    closed: list[str] = []

    class Stopped(Control):
        def check(self) -> None:
            if stop.is_set():
                raise Cancelled

    def opened() -> feeds.Feed:
        made = feed(DISKS[0], "d")
        inner = made.close
        made.close = lambda: (closed.append("d"), inner())[1]  # type: ignore[method-assign]
        return made

    asked = replace(request("hanging.ova"), disks=[OvaDisk("d", DISKS[0].size, 18 * MIB, opened)])

    def run() -> None:
        with pytest.raises(Cancelled):
            OvaUpload(store_for(session, budget=budget)).upload(asked, control=Stopped())
        outcome.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: hang.fired >= 2, what="parts under way")
    told = time.monotonic()
    stop.set()
    thread.join(20)
    simulator.faults.clear()
    assert outcome and outcome[0] - told < 2
    assert closed == ["d"]
    wait_until(lambda: budget.lent == 0, what="all buffers given back")


def test_what_a_feed_raises_comes_out(aws: World) -> None:
    _, session = aws
    budget = BufferBudget(8 * PART)

    def broken() -> feeds.Feed:
        raise ServiceError(ErrorKind.NETWORK, "lease lost", subject="vm")

    asked = request("broken.ova")
    asked = replace(asked, disks=[*asked.disks[:2], replace(asked.disks[2], open=broken)])
    with pytest.raises(ServiceError, match="lease lost"):
        OvaUpload(store_for(session, budget=budget)).upload(asked, control=Control())
    wait_until(lambda: budget.lent == 0, what="all buffers given back")


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a b", "a_b"]])
def test_what_cannot_be_an_archive_is_refused_first(aws: World, names: list[str]) -> None:
    simulator, session = aws
    disks = [OvaDisk(name, 512, 512, partial(feed, DISKS[0], name)) for name in names]
    with pytest.raises(ServiceError) as caught:
        OvaUpload(store_for(session)).upload(OvaRequest(BUCKET, "no.ova", MACHINE, disks), control=Control())
    assert caught.value.kind is ErrorKind.INVALID
    assert simulator.stats["s3:CreateMultipartUpload"] == 0


class Huge:
    """A feed that says it gave 9 GiB after a few bytes: what the header then says is all that is looked at."""

    sha256 = "0" * 64

    def __init__(self) -> None:
        self.size, self._left = 0, 100

    def fill(self, view: memoryview) -> int:
        count, self._left = min(self._left, len(view)), 0
        view[:count] = b"x" * count
        return count

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_members_over_8_gib_are_declared_in_base_256(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, session = aws
    inner = ova_upload._Archive.pour
    monkeypatch.setattr(ova_upload._Archive, "pour", lambda archive, fill: inner(archive, fill) + (9 << 30))
    disks = [OvaDisk("big.vmdk", 20 << 30, 1000, Huge)]
    OvaUpload(store_for(session)).upload(OvaRequest(BUCKET, "big.ova", MACHINE, disks), control=Control())
    data = read(session, "big.ova")
    at = data.index(b"big.vmdk\0")
    info = tarfile.TarInfo.frombuf(data[at : at + 512], "utf-8", "strict")
    assert (info.name, info.size) == ("big.vmdk", (9 << 30) + 100)
    assert f'ovf:size="{info.size}"'.encode() in data[:at]
