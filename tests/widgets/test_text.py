"""Text in terminal cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.widgets import text


@given(st.text(max_size=40), st.integers(1, 30), st.sampled_from(["left", "right"]))
def test_fit_is_exact_for_any_clean_text(value: str, cells: int, align: str) -> None:
    assert text.width(text.fit(text.clean(value), cells, align)) == cells


@given(st.text(max_size=60))
def test_clean_leaves_nothing_that_moves_the_cursor(value: str) -> None:
    cleaned = text.clean(value)
    assert cleaned.isprintable()
    assert text.clean(cleaned) == cleaned


@given(st.text(max_size=120), st.integers(4, 40))
def test_wrap_keeps_every_line_within_its_cells(value: str, cells: int) -> None:
    lines = text.wrap(text.clean(value), cells)
    assert lines
    assert all(text.width(line) <= cells for line in lines)
    assert "".join(lines).replace(" ", "") == text.clean(value).replace(" ", "")


def test_escape_sequences_and_markup_stay_text() -> None:
    assert text.clean("a\x1b[31mb\r\nc\u202ed") == "a\ufffd[31mb  c\ufffdd"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023.9, "1 KiB"),
        (80 << 30, "80 GiB"),
        (3 << 39, "1.5 TiB"),
        (1023 << 20, "1,023 MiB"),
    ],
)
def test_size(count: float, words: str) -> None:
    assert text.size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "–"), (41, "0:41"), (725.4, "12:05"), (3753, "1:02:33"), (-3, "0:00")]
)
def test_duration(seconds: float | None, words: str) -> None:
    assert text.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "–"), (41, "~0:40"), (119, "~2:00"), (725, "~12 min"), (7805, "~2h 10m")]
)
def test_time_left_is_no_finer_than_it_can_be_known(seconds: float | None, words: str) -> None:
    assert text.remaining(seconds) == words


def test_bar_never_says_full_before_it_is() -> None:
    assert text.bar(0.999, 10) == "█████████░"
    assert text.percent(0.999) == "99%"
    assert text.bar(None, 4) == "····"
    assert text.bar(1.7, 4) == "████"
