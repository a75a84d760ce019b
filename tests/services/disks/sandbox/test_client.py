"""Foreign bytes are read in a child: what they do to it comes back as words, whatever it is."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.kits import sandbox_cases as cases
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.model.plain_data import UnfitError, decode, encode
from vmie_tui.services import image_sources, preflight
from vmie_tui.services.disks import convert_source
from vmie_tui.services.disks.convert import Format, Request, convert
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.sandbox import client
from vmie_tui.services.disks.sandbox.client import UnfinishedError
from vmie_tui.services.disks.streams.ranges import BudgetExceededError, Metered


class Bytes:
    """A reader with 3 MiB, of which it counts the reads; it may fail, or cancel, at one of them."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.data, self.fails, self.asked = bytes(range(256)) * (3 << 12), fails, 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        self.asked += 1
        if self.fails is not None and self.asked > 1:
            raise self.fails
        return self.data[offset : offset + length]


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (cases.spin, "reading it took more than 1 seconds of processor time"),
        (cases.sleep, "reading it did not end within 0 seconds"),
        (cases.crash, "the process that read it crashed (SIGSEGV)"),
        (cases.fail, "its reader met what it does not expect (KeyError)"),
        (cases.babble, "the process that read it"),
        pytest.param(
            cases.swell,
            "reading it took more than 256 MiB of memory",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit address space"),
        ),
    ],
)
def test_what_a_reader_does_to_its_process_is_said_in_words(work: Callable[[], Any], words: str) -> None:
    with pytest.raises(UnfinishedError) as raised:
        work()
    assert raised.value.kind is ErrorKind.CORRUPT
    assert words in raised.value.problem.what
    assert raised.value.problem.remedy
    assert cases.environment()["PATH"] == os.environ["PATH"]  # the next child is not troubled


def test_other_threads_go_on_while_a_reader_spins() -> None:
    done, beats = threading.Event(), 0
    with ThreadPoolExecutor(1) as pool:
        spinning = pool.submit(cases.spin)
        spinning.add_done_callback(lambda _: done.set())
        while not done.wait(0.01):
            beats += 1
        assert isinstance(spinning.exception(), UnfinishedError)
    assert beats > 10


def test_an_error_comes_back_as_what_it_was() -> None:
    with pytest.raises(DiskFormatError) as raised:
        cases.refuse()
    problem = raised.value.problem
    assert (problem.kind, problem.subject, problem.code) == (ErrorKind.CORRUPT, "disk.vmdk", "E04")


def test_a_child_can_write_no_file_and_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for strangers")
    monkeypatch.setenv("VMIE_VCENTER_PASSWORD", "nor this")
    assert set(cases.environment()) <= set(client.KEPT_ENVIRONMENT)
    with pytest.raises(UnfinishedError):
        cases.write(tmp_path / "out")
    assert not (tmp_path / "out").exists() or not (tmp_path / "out").stat().st_size


def test_a_child_reaches_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        if not cases.connect(server.getsockname()[1]):
            pytest.skip("this system lets nobody leave its network")


def test_the_caller_reads_for_the_child() -> None:
    reader = Bytes()
    assert bytes.fromhex(cases.read(reader, 100, 300)) == reader.data[100:400]
    assert bytes.fromhex(cases.read(reader, 0, 3 << 20)) == reader.data
    assert bytes.fromhex(cases.read(reader, (3 << 20) - 5, 100)) == reader.data[-5:]
    assert cases.read(reader, 5 << 20, 100) == ""
    assert cases.sums([reader, reader]) == [sum(reader.data)] * 2


def test_an_error_of_a_reader_is_raised_as_it_is() -> None:
    error = ServiceError(ErrorKind.NETWORK, "the server does not answer", retry_safe=True)
    with pytest.raises(ServiceError) as raised:
        cases.read_for_ever(Bytes(error))
    assert raised.value is error


@pytest.mark.parametrize("error", [Cancelled(), KeyboardInterrupt()])
def test_who_cancels_while_reading_for_a_child_has_ended_it(error: Any) -> None:
    with pytest.raises(type(error)):
        cases.read_for_ever(Bytes(error))


def test_the_budget_is_the_callers() -> None:
    reader = Metered(Bytes())
    with pytest.raises(BudgetExceededError):
        cases.read_for_ever(reader)
    assert reader.budget.used_requests == reader.budget.requests == 64


@pytest.mark.parametrize("answer", ["{", '"text"', '["text"]', "[" * 100_000, '{"type": "Path"}', "[1.5]"])
def test_an_answer_that_is_not_of_the_declared_type_is_refused(answer: str) -> None:
    with pytest.raises(UnfinishedError, match="makes no sense"):
        cases.lie(answer)


def test_many_threads_have_children_of_their_own() -> None:
    readers = [Bytes() for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda reader: cases.read(reader, 7, 3), readers))
    assert found == ["070809"] * 12


def test_a_killed_helper_is_replaced() -> None:
    cases.environment()
    process = client._HELPER._process
    assert process is not None
    process.kill()
    assert cases.read(Bytes(), 1, 1) == "01"


def test_without_processes_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    client._HELPER.close()
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(ServiceError, match="no process could be started"):
        cases.environment()


# -- looks


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(1 << 20))
    return path


def test_a_guest_that_is_never_read_is_not_inspected(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_sources, "_describe_files", cases.describe_slowly)
    seen = image_sources.describe_file([image]).preflight
    assert seen is not None
    assert seen.guest is None
    assert seen.verdict != "ready"
    [missed] = seen.not_inspected
    assert (missed.what, missed.why) == (preflight.CONTENT, "reading it took more than 1 seconds of processor time")
    assert seen.machine is not None
    assert seen.machine.disks[0].capacity == 1 << 20


def test_a_container_that_is_never_read_is_an_error_on_the_file(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_sources, "_describe_files", cases.describe_never)
    with pytest.raises(ServiceError) as raised:
        image_sources.describe_file([image])
    assert raised.value.problem.subject == str(image)


def test_nothing_is_converted_that_a_child_could_not_open(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_source, "_try_to_open", cases.open_never)
    with pytest.raises(ServiceError, match="processor time") as raised:
        convert(Request(image, image.with_name("out.vmdk"), Format.VMDK))
    assert raised.value.problem.subject == str(image)
    assert sorted(path.name for path in image.parent.iterdir()) == ["disk.raw"]


# -- plain data


class Colour(StrEnum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class Other:
    name: str


@dataclasses.dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    either: Part | Other
    colours: dict[str, Colour]
    path: Path
    when: datetime
    pair: tuple[int, str]
    ratio: float
    mode: Literal["r", "w"]
    names: frozenset[str]


WHOLE = Whole(
    (Part("a", 1), Part("b")), Other("c"), {"x": Colour.RED}, Path("/a/b"), datetime(2026, 1, 2, tzinfo=UTC),
    (1, "one"), 0.5, "r", frozenset({"n"}),
)  # fmt: skip


def test_values_come_back_as_they_were() -> None:
    assert decode(Whole, json.loads(json.dumps(encode(WHOLE)))) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"parts": [1]}, {"parts": {}}, {"either": {"type": "Whole", "fields": {}}}, {"colours": {"x": "blue"}},
        {"when": "soon"}, {"pair": [1]}, {"pair": [True, "one"]}, {"ratio": "0.5"}, {"mode": "x"}, {"extra": 1},
        {"path": 3}, {"parts": [{"type": "Part", "fields": {}}]},
    ],
)  # fmt: skip
def test_what_is_of_another_type_is_refused(change: dict[str, Any]) -> None:
    data = json.loads(json.dumps(encode(WHOLE)))
    data["fields"].update(change)
    with pytest.raises(UnfitError):
        decode(Whole, data)
