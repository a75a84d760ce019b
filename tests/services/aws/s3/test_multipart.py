"""Part sizes, checksums and the memory budget: no socket needed."""

from __future__ import annotations

import base64
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.waiting import wait_until
from vmie_tui.model.errors import Cancelled
from vmie_tui.services.aws.s3 import multipart
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.multipart import MIB, FoundPart, RunningCrc, crc_of, crc_text, part_size_for, part_size_of


@given(st.integers(0, 64 << 40))
def test_part_size_fits_any_object(size: int) -> None:
    part = part_size_for(size)
    assert part % MIB == 0
    assert part >= 16 * MIB
    if size <= 5 << 40:
        assert -(-size // part) <= multipart.AIMED_PARTS
    assert part <= multipart.LARGEST_PART


def test_part_size_is_no_larger_than_needed() -> None:
    assert part_size_for(16 * MIB * 9000) == 16 * MIB
    assert part_size_for(16 * MIB * 9000 + 1) == 17 * MIB


def test_crc_is_the_documented_one() -> None:
    # check value of CRC-64/NVME for "123456789", as S3 writes it
    assert crc_of(b"123456789") == 0xAE8B14860A799888
    assert crc_text(crc_of(b"123456789")) == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()


@given(st.lists(st.binary(max_size=400), max_size=8))
def test_crc_of_parts_equals_crc_of_the_whole(parts: list[bytes]) -> None:
    running = RunningCrc()
    for part in parts:
        running.add(crc_of(memoryview(part)), len(part))
    assert running.value == crc_of(b"".join(parts))
    assert running.size == sum(map(len, parts))


def found(*sizes: tuple[int, int]) -> list[FoundPart]:
    return [FoundPart(number, size, "", "") for number, size in sizes]


@pytest.mark.parametrize(
    ("parts", "hint", "size"),
    [
        ([], 100 * MIB, 16 * MIB),
        ([(1, 32 * MIB), (2, 32 * MIB), (3, 5)], 10 * MIB, 32 * MIB),
        ([(4, 5 * MIB)], 10 * MIB, 16 * MIB),  # one part may be the short last one: it tells nothing
        ([(1, 6 * MIB), (2, 6 * MIB)], 100 << 30, 16 * MIB),  # too small for what comes now
        ([(1, 100), (2, 100)], 100, 16 * MIB),
    ],
)
def test_part_size_follows_the_earlier_run(parts: list[tuple[int, int]], hint: int, size: int) -> None:
    assert part_size_of(found(*parts), hint, part_size_for(hint)) == size


def test_budget_lends_within_its_limit_and_reuses_buffers() -> None:
    budget = BufferBudget(100)
    first, second = budget.acquire(50), budget.acquire(50)
    budget.release(first)
    assert budget.acquire(50) is first
    assert budget.lent == 100
    budget.release(first)
    budget.release(second)
    assert budget.lent == 0
    assert len(budget.acquire(80)) == 80  # idle buffers of another size give way


def test_budget_admits_a_part_above_its_limit_alone() -> None:
    budget = BufferBudget(10)
    small, got = budget.acquire(5), []
    thread = threading.Thread(target=lambda: got.append(budget.acquire(25)))
    thread.start()
    assert not got
    budget.release(small)
    thread.join(10)
    assert [len(buffer) for buffer in got] == [25]
    with pytest.raises(Cancelled):
        budget.acquire(1, _raise_on_second_call())


def _raise_on_second_call() -> object:
    calls = iter((None, Cancelled()))

    def stop() -> None:
        if (error := next(calls)) is not None:
            raise error

    return stop


def test_who_asked_first_is_served_first() -> None:
    budget, order = BufferBudget(10), []
    held = [budget.acquire(5), budget.acquire(5)]

    def take(size: int) -> None:
        budget.acquire(size)
        order.append(size)

    large = threading.Thread(target=take, args=(8,))
    large.start()
    wait_until(lambda: budget.waiting == 1)
    small = threading.Thread(target=take, args=(2,))
    small.start()
    wait_until(lambda: budget.waiting == 2)
    budget.release(held.pop())  # enough for the small one, but the large one was first
    assert order == []
    budget.release(held.pop())
    large.join(10)
    small.join(10)
    assert sorted(order) == [2, 8]


def test_a_waiter_that_gives_up_lets_the_next_one_in() -> None:
    budget, cancelled = BufferBudget(10), threading.Event()
    held = budget.acquire(6)

    def stop() -> None:
        if cancelled.is_set():
            raise Cancelled

    outcome: list[object] = []

    def wants_too_much() -> None:
        try:
            budget.acquire(8, stop)
        except Cancelled as error:
            outcome.append(error)

    first = threading.Thread(target=wants_too_much)
    first.start()
    wait_until(lambda: budget.waiting == 1)
    second = threading.Thread(target=lambda: outcome.append(budget.acquire(4)))
    second.start()
    wait_until(lambda: budget.waiting == 2)
    cancelled.set()
    first.join(10)
    second.join(10)
    assert {type(item) for item in outcome} == {Cancelled, bytearray}
    budget.release(held)


def test_budget_holds_under_many_threads() -> None:
    budget, failures = BufferBudget(1000), []

    def work(seed: int) -> None:
        for turn in range(50):
            size = 1 + (seed * 131 + turn * 71) % 400
            buffer = budget.acquire(size)
            if len(buffer) != size or budget.lent > 1000:
                failures.append((size, len(buffer), budget.lent))
            budget.release(buffer)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    assert budget.lent == 0
    assert budget.peak <= 1000
