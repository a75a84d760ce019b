"""A frozen disk read over several connections to the simulated vCenter: whole, in order, bounded, whatever happens."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.kits.vcenter_session import log_in, named
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.changed_blocks import SnapshotDisk, snapshot_disks
from vmie_tui.services.vsphere.datastore import flat_file, folder_reader
from vmie_tui.services.vsphere.datastore.folder_reader import FolderReader
from vmie_tui.services.vsphere.inventory_paths import InventoryPaths
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import create_snapshot, list_snapshots, remove_snapshot
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.fleet.tiny import DATACENTER, HOST
from vmie_tui.simulators.vcenter import folder
from vmie_tui.simulators.vcenter.server import VCenterSimulator

NAME = "repl-01"  # runs
PIECE = 256 << 10
GET = "folder:GET"


@pytest.fixture
def vsphere(vcenter: VCenterSimulator) -> Iterator[VSphere]:
    vcenter.faults.clear()
    with log_in(vcenter) as session:
        yield session
        vcenter.faults.clear()
        for snapshot in list_snapshots(session, vcenter.machine(NAME).moid):
            remove_snapshot(session, snapshot.moid)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many requests for a small disk, and no long waits between tries."""
    monkeypatch.setattr(folder_reader, "PIECE", PIECE)
    monkeypatch.setattr(folder_reader, "FIRST_WAIT", 0.01)


class Frozen:
    """A running machine's first disk, frozen; ``content`` as it was then."""

    def __init__(self, vcenter: VCenterSimulator, vsphere: VSphere) -> None:
        self.vcenter, self.vsphere = vcenter, vsphere
        self.moid = vcenter.machine(NAME).moid
        self.snapshot = create_snapshot(vsphere, self.moid, "vmie", "", quiesce=False)
        self.disk: SnapshotDisk = snapshot_disks(vsphere, self.snapshot.moid)[0]
        self.content = vcenter.disk_path(NAME, self.disk.key).read_bytes()

    def open(self, **more: Any) -> FolderReader:
        more = {"host": HOST, **more}
        return FolderReader(self.vsphere, DATACENTER, self.disk.file_name, **more)

    def all(self, reader: FolderReader) -> bytes:
        return b"".join(data for _, data in reader.stream([(0, reader.size)]))


@pytest.fixture
def frozen(vcenter: VCenterSimulator, vsphere: VSphere) -> Frozen:
    made = Frozen(vcenter, vsphere)
    vcenter.stats.reset()
    return made


class Gate:
    """Holds every request for a file back inside the server until it is opened; counts how many wait."""

    def __init__(self, vcenter: VCenterSimulator) -> None:
        self._find, self._open, self._lock = vcenter.folders.find, threading.Event(), threading.Lock()
        self.inside = self.peak = 0

    def find(self, *where: str) -> Any:
        with self._lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
        self._open.wait(20)
        with self._lock:
            self.inside -= 1
        return self._find(*where)

    def open(self) -> None:
        self._open.set()


@contextmanager
def gate(vcenter: VCenterSimulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(vcenter)
    with monkeypatch.context() as patch:
        patch.setattr(vcenter.folders, "find", made.find)
        try:
            yield made
        finally:
            made.open()


def readers_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("folder")]


# -- what is read


def test_the_frozen_content_in_order_while_the_guest_writes_on(vcenter: VCenterSimulator, frozen: Frozen) -> None:
    with frozen.open() as reader:
        assert reader.size == frozen.disk.capacity == len(frozen.content)
        at, found = 0, bytearray()
        for offset, data in reader.stream([(0, reader.size)]):
            assert offset == at and 0 < len(data) <= PIECE
            at += len(data)
            found += data
            vcenter.write_disk(NAME, frozen.disk.key, reader.size - at, b"written meanwhile"[: at or 1])
        assert found == frozen.content
        assert vcenter.stats[GET] == reader.requests == 1 + reader.size // PIECE and reader.retries == 0
    assert vcenter.disk_path(NAME, frozen.disk.key).read_bytes() != frozen.content


def test_any_areas(frozen: Frozen) -> None:
    chance = random.Random(7)
    areas, at = [], 0
    while True:
        offset = at + chance.randrange(1, 300_000)
        length = chance.choice([1, 511, 65536, 524288, 700_001])
        if offset + length > len(frozen.content):
            break
        areas.append((offset, length))
        at = offset + length
    areas.append((len(frozen.content) - 1, 1))
    assert len(areas) > 10
    with frozen.open(parallel=3) as reader:
        found: dict[int, bytes] = dict(reader.stream(areas))
        for offset, data in found.items():
            assert data == frozen.content[offset : offset + len(data)], offset
        pieces = {byte for start, length in areas for byte in range(start, start + length, PIECE)}
        assert set(found) == pieces and sum(map(len, found.values())) == sum(length for _, length in areas)
        assert list(reader.stream([])) == []


def test_single_reads(vcenter: VCenterSimulator, frozen: Frozen) -> None:
    with frozen.open() as reader:
        size = reader.size
        assert reader.read_at(12_345, PIECE * 2) == frozen.content[12_345 : 12_345 + PIECE * 2]
        assert reader.read_at(size - 10, 100) == frozen.content[-10:]
        assert reader.read_at(size, 10) == reader.read_at(5, 0) == b""
        with pytest.raises(ServiceError, match="ends before an area") as caught:
            list(reader.stream([(0, 512), (size - 100, 101)]))
        assert caught.value.kind is ErrorKind.CORRUPT


def test_a_disk_of_an_odd_size_of_a_machine_that_is_off(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "odd-size-01")
    content = vcenter.disk_path("odd-size-01", machine.disks[0].key).read_bytes()
    with FolderReader(vsphere, machine.datacenter, machine.disks[0].file_name, host="") as reader:
        assert b"".join(data for _, data in reader.stream([(0, reader.size)])) == content


# -- how much at once


def test_reads_ahead_so_many_and_no_more(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    with frozen.open(parallel=3) as reader:
        stream = reader.stream([(0, reader.size)])
        with gate(vcenter, monkeypatch) as held:
            taking = threading.Thread(target=next, args=(stream,))
            taking.start()
            wait_until(lambda: held.inside == 3, what="three requests at once")
        taking.join()
        first = 1 + 3 + 1  # the size, three ahead, and one in place of what was handed out
        wait_until(lambda: vcenter.stats[GET] == first and not reader._busy, what="all that is asked for ahead")
        next(stream)
        wait_until(lambda: vcenter.stats[GET] == first + 1 and not reader._busy, what="one more")
        assert held.peak == 3
        stream.close()
        assert reader.read_at(0, 600) == frozen.content[:600], "what is left of a stream harms no other"


def test_all_readers_of_a_host_share_its_connections(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_reader, "PER_HOST", 3)
    found: dict[int, bytes] = {}
    readers = [frozen.open(parallel=4) for _ in range(3)]

    def read(number: int) -> None:
        with readers[number] as reader:
            found[number] = frozen.all(reader)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    other = FolderReader(frozen.vsphere, DATACENTER, frozen.disk.file_name, host="esx-99.corp.example")
    with gate(vcenter, monkeypatch) as held:
        for thread in threads:
            thread.start()
        wait_until(lambda: (held.inside, folder_reader.SLOTS.waiting) == (3, 9), what="three requests of that host")
        waiting = threading.Thread(target=other.read_at, args=(0, 1))
        waiting.start()
        wait_until(lambda: held.inside == 4, what="one of another host beside them")
    for thread in (*threads, waiting):
        thread.join(20)
    other.close()
    assert held.peak == 4 and list(found.values()) == [frozen.content] * 3
    assert sum(folder_reader.SLOTS._used.values()) == 0


def test_all_hosts_share_those_of_their_vcenter(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_reader, "PER_VCENTER", 2)
    with frozen.open(host="esx-98.corp.example") as one, frozen.open(host="esx-99.corp.example") as two:
        with gate(vcenter, monkeypatch) as held:
            threads = [threading.Thread(target=frozen.all, args=(reader,)) for reader in (one, two)]
            for thread in threads:
                thread.start()
            wait_until(lambda: (held.inside, folder_reader.SLOTS.waiting) == (2, 6), what="two requests")
        for thread in threads:
            thread.join(20)
        assert held.peak == 2


# -- what may pass


@pytest.mark.parametrize(
    "fault",
    [
        Fault(GET, "error", status=503, times=4),
        Fault(GET, "error", status=502, times=2),
        Fault(GET, "error", status=500, times=3),
        Fault(GET, "reset", times=6),
        Fault(GET, "truncate", after=1000, times=3),
        Fault(GET, "truncate", after=0, times=2),
    ],
    ids=["busy", "gateway", "trouble", "reset", "short", "nothing"],
)
def test_what_may_pass_is_tried_again(vcenter: VCenterSimulator, frozen: Frozen, fault: Fault) -> None:
    with frozen.open() as reader:
        vcenter.faults.add(fault)
        assert frozen.all(reader) == frozen.content
        assert fault.fired == fault.times
        # A connection that was kept is renewed at once, without counting as another try.
        assert 0 < reader.retries <= fault.fired if fault.action != "reset" else reader.requests > fault.fired


def test_a_silent_host_is_given_up_and_asked_again(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat_file, "READ_SECONDS", 0.2)
    with frozen.open() as reader:
        vcenter.faults.add(Fault(GET, "delay", seconds=2.0, times=2))
        assert frozen.all(reader) == frozen.content


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(GET, "error", status=503, times=None), ErrorKind.REMOTE),
        (Fault(GET, "reset", times=None), ErrorKind.NETWORK),
        (Fault(GET, "truncate", after=7, times=None), ErrorKind.NETWORK),
    ],
    ids=["busy", "reset", "short"],
)
def test_what_does_not_pass_ends_after_a_few_tries(
    vcenter: VCenterSimulator, frozen: Frozen, fault: Fault, kind: ErrorKind
) -> None:
    with frozen.open(parallel=1) as reader:
        vcenter.faults.add(fault)
        with pytest.raises(ServiceError) as caught:
            reader.read_at(0, 100)
        assert caught.value.kind is kind and caught.value.problem.retry_safe
        assert folder_reader.TRIES <= fault.fired <= folder_reader.TRIES + 1
        vcenter.faults.clear()
        assert reader.read_at(0, 100) == frozen.content[:100], "it may be asked later"


def test_an_expired_session_is_renewed_once_for_all(vcenter: VCenterSimulator, frozen: Frozen) -> None:
    with frozen.open() as reader:
        stream = reader.stream([(0, reader.size)])
        found = bytearray(next(stream)[1])
        vcenter.expire_sessions()
        for _, data in stream:
            found += data
        assert found == frozen.content
        assert vcenter.stats["Login"] == 1 and reader.retries == 0


def test_a_session_that_is_refused_asks_for_a_login(vcenter: VCenterSimulator, frozen: Frozen) -> None:
    with frozen.open() as reader:
        vcenter.faults.add(Fault(GET, "error", status=401, times=None))
        with pytest.raises(ServiceError) as caught:
            frozen.all(reader)
        assert caught.value.kind is ErrorKind.LOGIN and reader.retries == 0


# -- what does not pass


def test_a_running_machine_that_nobody_froze(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    disk = named(vsphere, NAME).disks[0]
    vcenter.stats.reset()
    with pytest.raises(ServiceError, match="holds the disk's file locked") as caught:
        FolderReader(vsphere, DATACENTER, disk.file_name, host=HOST)
    assert caught.value.kind is ErrorKind.CONFLICT and vcenter.stats[GET] == 1
    assert not readers_threads() or wait_until(lambda: not readers_threads(), what="its threads' end")


def test_vsan_serves_no_files(vcenter: VCenterSimulator, vsphere: VSphere) -> None:
    machine = named(vsphere, "vsan-01")
    snapshot = create_snapshot(vsphere, machine.moid, "vmie", "", quiesce=False)
    with pytest.raises(ServiceError, match=r"vSAN and vVol have none.*Migrate the machine once") as caught:
        FolderReader(vsphere, DATACENTER, snapshot_disks(vsphere, snapshot.moid)[0].file_name, host=HOST)
    assert caught.value.kind is ErrorKind.NOT_FOUND
    remove_snapshot(vsphere, snapshot.moid)


def test_the_missing_privilege_is_named(vcenter: VCenterSimulator, frozen: Frozen) -> None:
    vcenter.revoke("Datastore.Browse")
    try:
        with pytest.raises(ServiceError, match=r"Datastore\.Browse") as caught:
            frozen.open()
    finally:
        vcenter.grant("Datastore.Browse")
    assert caught.value.kind is ErrorKind.PERMISSION


def test_a_name_that_is_none_of_a_datastore(vsphere: VSphere) -> None:
    with pytest.raises(ServiceError) as caught:
        FolderReader(vsphere, DATACENTER, "https://elsewhere.example/x.vmdk", host=HOST)
    assert caught.value.kind is ErrorKind.INVALID


def test_no_proxy_may_answer_by_what_it_keeps(frozen: Frozen) -> None:
    """The file has the same name at every run; a copy of stale blocks would even be verified by stale blocks."""
    with frozen.open() as reader:
        assert reader._file.headers(0, PIECE)["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("asked", [True, False], ids=["If-Range", "Last-Modified"])
def test_a_file_that_was_written_meanwhile_is_noticed(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """The server is asked for that version alone; should it not care, the date it tells is compared."""
    with frozen.open() as reader:
        assert reader.read_at(0, 10) == frozen.content[:10]
        path = vcenter.disk_path(NAME, frozen.disk.key)
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 100))
        if not asked:
            headers = flat_file.FlatFile.headers

            def without(file: flat_file.FlatFile, offset: int, end: int) -> dict[str, str]:
                return {name: value for name, value in headers(file, offset, end).items() if name != "If-Range"}

            monkeypatch.setattr(flat_file.FlatFile, "headers", without)
        with pytest.raises(ServiceError, match="changed while it was read") as caught:
            reader.read_at(PIECE, 10)
        assert caught.value.kind is ErrorKind.CORRUPT and reader.retries == 0
        assert ("another date or tag" in caught.value.problem.detail) is asked


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (lambda first, end, size: (first + 512, end + 512), "other bytes than those asked for"),
        (lambda first, end, size: (first, end + 512), "other bytes than those asked for"),
        (lambda first, end, size: (first, end - 1), "other bytes than those asked for"),
        (lambda first, end, size: None, "served under another date"),
    ],
    ids=["shifted", "longer", "shorter", "whole"],
)
def test_only_exactly_what_was_asked_for_counts(
    frozen: Frozen, monkeypatch: pytest.MonkeyPatch, part: Callable[[int, int, int], Any], words: str
) -> None:
    real = folder.byte_range

    def other(header: str | None, size: int) -> Any:
        found = real(header, size)
        assert found is not None
        return part(*found, size)

    with frozen.open() as reader:
        monkeypatch.setattr("vmie_tui.simulators.vcenter.http.byte_range", other)
        with pytest.raises(ServiceError, match=words) as caught:
            reader.read_at(PIECE, 1024)
        assert caught.value.kind is ErrorKind.CORRUPT and reader.retries == 0


def test_a_server_without_ranges_is_told_at_once(frozen: Frozen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmie_tui.simulators.vcenter.http.byte_range", lambda header, size: None)
    with pytest.raises(ServiceError, match="does not serve parts of files"):
        frozen.open()


def test_a_snapshot_removed_under_the_reader(vcenter: VCenterSimulator, vsphere: VSphere, frozen: Frozen) -> None:
    with frozen.open() as reader:
        remove_snapshot(vsphere, frozen.snapshot.moid)
        with pytest.raises(ServiceError) as caught:
            frozen.all(reader)
        assert caught.value.kind in {ErrorKind.REMOTE, ErrorKind.CORRUPT}


# -- stopping


def test_stop_is_asked_while_waiting(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def stop() -> None:
        if asked.is_set():
            raise InterruptedError

    with frozen.open(check=stop) as reader, gate(vcenter, monkeypatch) as held:
        stream = reader.stream([(0, reader.size)])

        def later() -> None:
            wait_until(lambda: held.inside == 4, what="four requests")
            asked.set()

        threading.Thread(target=later, daemon=True).start()
        with pytest.raises(InterruptedError):
            next(stream)


def test_closing_breaks_a_read_that_waits(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = frozen.open()
    raised: list[ServiceError] = []

    def read() -> None:
        try:
            frozen.all(reader)
        except ServiceError as error:
            raised.append(error)

    with gate(vcenter, monkeypatch) as held:
        reading = threading.Thread(target=read)
        reading.start()
        wait_until(lambda: held.inside == 4, what="four requests")
        reader.close()
        reading.join(5)  # while the server still keeps its answers back
        assert not reading.is_alive()
        assert [error.kind for error in raised] == [ErrorKind.CANCELLED]
        wait_until(lambda: not reader._busy and not readers_threads(), what="its threads' end")
    with pytest.raises(ServiceError) as caught:
        reader.read_at(0, 1)
    assert caught.value.kind is ErrorKind.CANCELLED
    reader.close()


def test_closing_ends_the_wait_for_a_slot(
    vcenter: VCenterSimulator, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_reader, "PER_HOST", 1)
    with frozen.open(parallel=1) as one, frozen.open(parallel=1) as two, gate(vcenter, monkeypatch) as held:
        first = threading.Thread(target=one.read_at, args=(0, 1))
        first.start()
        wait_until(lambda: held.inside == 1, what="the only slot to be taken")
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                two.read_at(0, 1)
            except ServiceError as error:
                raised.append(error)

        second = threading.Thread(target=wait)
        second.start()
        wait_until(lambda: folder_reader.SLOTS.waiting == 1, what="the second to wait")
        two.close()
        second.join(5)
        assert [error.kind for error in raised if isinstance(error, ServiceError)] == [ErrorKind.CANCELLED]
        held.open()
        first.join(20)
    assert sum(folder_reader.SLOTS._used.values()) == 0


# -- where a file is


def test_a_datacenter_is_named_with_the_folders_it_lies_in(vsphere: VSphere) -> None:
    kinds = {"f1": "Folder", "d1": "Datacenter", "d2": "Datacenter", "d3": "Datacenter", "d4": "Datacenter"}
    names = {"f1": "EU / North", "d1": "DC1", "d2": "DC2", "d3": "Twin", "d4": "Twin"}
    places = InventoryPaths(names, {"f1": "group-d1", "d1": "f1", "d2": "group-d1"}, kinds)
    assert places.datacenter_path("DC1") == "EU %2f North/DC1"
    assert places.datacenter_path("DC2") == "DC2"
    assert places.datacenter_path("Twin") == "Twin", "unclear which"
    vsphere.places = places
    file = flat_file.FlatFile(vsphere, "DC1", "[a b] x y/x y.vmdk", otherwise="")
    assert file.path == "/folder/x%20y/x%20y-flat.vmdk?dcPath=EU%20%252f%20North%2FDC1&dsName=a%20b"
