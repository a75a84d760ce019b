"""``vmie-tui convert``: one disk image into another, with progress and checksums."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from vmie_tui.commands.common import json_option, left_text, out, out_json, percent_text, say
from vmie_tui.model.formatting import size
from vmie_tui.services.disks.convert import Converted, Format, Request, convert, format_for

_EVERY = 0.5  # seconds between two states of the progress line


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "wanted",
    type=click.Choice([each.value for each in Format]),
    help="What to write; without it the destination's extension decides.",
)
@click.option("--small", is_flag=True, help="Smaller VMDK or OVA, for about four times the CPU time.")
@click.option("--disk", type=click.IntRange(min=1), metavar="N", help="Which disk of an OVA, counted from 1.")
@click.option("--raw-source", is_flag=True, help="Take the source as RAW, whatever its first bytes look like.")
@click.option("--checksum/--no-checksum", default=True, help="SHA-256 of the disk and of the output (default: yes).")
@click.option("--force", is_flag=True, help="Replace an existing destination.")
@json_option
def convert_command(
    source: Path,
    destination: Path,
    *,
    wanted: str | None,
    small: bool,
    disk: int | None,
    raw_source: bool,
    checksum: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Convert a disk image: SOURCE into DESTINATION.

    \b
    Reads  RAW, VMDK, VHD, VHDX, OVA; QCOW2 and VDI with qemu-img.
    Writes RAW, VMDK (streamOptimized), VHD (.vhd is dynamic), OVA; VHDX with qemu-img.
    Example: vmie-tui convert disk.raw disk.vmdk

    The destination appears when all of it is written; what is left of an interrupted run is removed.
    """
    request = Request(
        source,
        destination,
        Format(wanted) if wanted else format_for(destination),
        small=small,
        disk=disk,
        raw=raw_source,
        force=force,
        checksums=checksum,
    )
    with terminated_is_interrupted(), Meter() as meter:
        done = convert(request, meter.show)
    for words in done.warnings:
        say(f"warning: {words}")
    if as_json:
        out_json(done.to_json())
    else:
        _print(done)


def _print(done: Converted) -> None:
    member = "" if done.disk == Path(done.source).name else f"  {done.disk}"
    out(f"Source       {done.source}  {done.source_format}{member}")
    out(f"Output       {done.destination}  {done.format}  {size(done.size)}")
    out(f"Disk         {size(done.capacity)} ({done.capacity} bytes), {size(done.data)} of it data")
    if done.sha256:
        out(f"Disk SHA-256 {done.disk_sha256}")
        out(f"File SHA-256 {done.sha256}")


class Meter:
    """One line on standard error, when that is a terminal: share, bytes, rate and time left. Any thread may call."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._next = self._start + _EVERY
        self._width = 0

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._on or now < self._next or not total:
            return
        with self._lock:
            if now < self._next:
                return
            self._next = now + _EVERY
            rate = done / (now - self._start)
            left = (total - done) / rate if done else None
            line = f"{percent_text(done / total):>4}  {size(done)} of {size(total)}  {size(rate)}/s"
            self._paint(f"{line}  {left_text(left)} left" if left is not None else line)

    def _paint(self, line: str) -> None:
        sys.stderr.write(f"\r{line.ljust(self._width)}")
        sys.stderr.flush()
        self._width = len(line)

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._paint("")
            sys.stderr.write("\r")
            sys.stderr.flush()


@contextlib.contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP end the work as ctrl+c does, so that what is half written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        say(f"ended by {signal.Signals(number).name}")
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
