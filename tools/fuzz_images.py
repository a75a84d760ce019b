"""``make fuzz MINUTES=10``: damages images in every way it can think of, and looks at what the readers make of them.

Each image is described as a stranger's file is (container, guest, in the child), described again in this process (what
the child catches must not happen at all), and converted. Findings: anything but a `ServiceError`, whatever takes longer
than five seconds or more than the child's limits, and bytes other than qemu-img reads from the same file. Findings are
kept in a folder with what was found; exit code 1. Needs qemu-img and mkfs.ext4 for most of the images to damage.
"""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import click

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.plan import Route
from vmie_tui.services import image_sources
from vmie_tui.services.disks.convert import Format, Request, convert
from vmie_tui.services.disks.sandbox import client
from vmie_tui.services.disks.sandbox.client import UnfinishedError
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.fleet import guests

SECONDS = 5
SIZE, WINDOW = 4 << 20, 64 << 10
GUESTS = 0.5  # the share of bootable disks with systems on them
QEMU_NAMES = {".vmdk": "vmdk", ".vhd": "vpc", ".vhdx": "vhdx"}
OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References><File ovf:id="f1" ovf:href="disk.vmdk" ovf:size="{size}"/></References>
<DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="{capacity}"/></DiskSection>
<VirtualSystem ovf:id="vm"><Info/><Name>vm</Name></VirtualSystem></Envelope>
"""


# -- what is damaged


def _run(*command: str | Path) -> bool:
    """Whether a program that makes images is here, and did it."""
    if shutil.which(str(command[0])) is None:
        return False
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    return done.returncode == 0


def seeds(folder: Path) -> list[Path]:
    """Good images of every kind, small ones."""
    chance = random.Random(1)
    raw = folder / "plain.raw"
    raw.write_bytes(b"".join(chance.randbytes(65536) if chance.random() < 0.3 else bytes(65536) for _ in range(64)))
    systems = []
    for kind, options in (("ext4", ["-F"]), ("xfs", ["-f"]), ("btrfs", ["-f"]), ("vfat", []), ("ntfs", ["-F", "-f"])):
        guest = folder / f"{kind}.raw"
        with guest.open("wb") as file:
            file.truncate({"xfs": 320 << 20, "btrfs": 128 << 20}.get(kind, 16 << 20))
        if _run(f"mkfs.{kind}", *options, guest):
            systems.append(guest)
    found = [raw, *systems]
    sources = [raw, *[guest for guest in systems if guest.stat().st_size <= 16 << 20]]
    for source in sources:
        for name, wanted in (("fixed.vhd", Format.VHD_FIXED), ("dynamic.vhd", Format.VHD_DYNAMIC)):
            found.append(_ours(source, folder / f"{source.stem}-{name}", wanted))
        found.append(_ours(source, folder / f"{source.stem}-stream.vmdk", Format.VMDK))
        found.append(_ours(source, folder / f"{source.stem}-own.ova", Format.OVA))
        for kind, subformat, name in (
            ("vmdk", "monolithicSparse", "sparse.vmdk"),
            ("vmdk", "streamOptimized", "qemu.vmdk"),
            ("vpc", "dynamic", "qemu.vhd"),
            ("vhdx", "dynamic", "qemu.vhdx"),
            ("vhdx", "fixed", "qemu-fixed.vhdx"),
        ):
            made = folder / f"{source.stem}-{name}"
            if _run("qemu-img", "convert", "-f", "raw", "-O", kind, "-o", f"subformat={subformat}", source, made):
                found.append(made)
    stream = (folder / "plain-stream.vmdk").read_bytes()
    archive = folder / "made.ova"
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        text = OVF.format(size=len(stream), capacity=SIZE).encode()
        for name, data in (("vm.ovf", text), ("disk.vmdk", stream)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return [*found, archive]


def _ours(source: Path, target: Path, wanted: Format) -> Path:
    convert(Request(source, target, wanted, raw=True, checksums=False))
    return target


# -- how


TEXTS = (b"RW 1 SPARSE ", b"createType=", b"\n" * 200, b"<File ", b" " * 500, b"\x00", b'"')
ODD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def damaged(data: bytearray, chance: random.Random) -> str:
    """Change some bytes, most of them where the headers are; what was done, in words."""
    words = []
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = _place(data, chance)
        match chance.randrange(7):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
                words.append(f"bit at {at}")
            case 1:
                data[at] = chance.randrange(256)
                words.append(f"byte at {at}")
            case 2:
                width, order = chance.choice((2, 4, 8)), chance.choice(("little", "big"))
                value = chance.choice(ODD) & ((1 << 8 * width) - 1)
                data[at : at + width] = value.to_bytes(width, "little" if order == "little" else "big")
                words.append(f"{value:#x} as {width} {order} at {at}")
            case 3:
                length = chance.choice((4, 64, 512, 4096))
                data[at : at + length] = bytes([chance.choice((0, 0xFF, 0x20, 0x0A))]) * length
                words.append(f"{length} filled at {at}")
            case 4:
                length, other = chance.choice((8, 512, 4096)), _place(data, chance)
                data[at : at + length] = data[other : other + length]
                words.append(f"{length} of {other} at {at}")
            case 5:
                text = chance.choice(
                    (b"RW 1 SPARSE ", b"createType=", b"\n" * 200, b"<File ", b" " * 500, b"\x00", b'"')
                )
                data[at : at + len(text)] = text
                words.append(f"{text[:12]!r} at {at}")
            case _:
                if chance.random() < 0.3 and len(data) > 1:
                    del data[chance.randrange(1, len(data)) :]
                    words.append(f"cut at {len(data)}")
    return ", ".join(words)


def damaged_guest(path: Path, chance: random.Random) -> str:
    """The same for a large disk, in the middle of what it holds."""
    with RawFile(path) as disk:
        extents = list(disk.extents())
    words = []
    with path.open("r+b") as file:
        for _ in range(chance.choice((1, 2, 4, 16))):
            start, length = chance.choice(extents)
            at = start + chance.randrange(length)
            file.seek(at)
            window = bytearray(file.read(min(WINDOW, start + length - at)))
            size = len(window)
            words.append(f"from {at}: {damaged(window, chance)}")
            file.seek(at)
            file.write(window[:size])
    return "; ".join(words)


def _place(data: bytearray, chance: random.Random) -> int:
    """Mostly at the front, often at the end, sometimes where there is something."""
    near = min(len(data), chance.choice((512, 1024, 4096, 65536, 1 << 20)))
    match chance.randrange(4):
        case 0:
            return max(0, len(data) - 1 - chance.randrange(near))
        case 1:
            at = chance.randrange(len(data))
            for _ in range(20):
                if data[at]:
                    break
                at = chance.randrange(len(data))
            return at
        case _:
            return chance.randrange(near)


# -- looking


class TooSlow(BaseException):
    """Not an error that a reader could catch."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise `TooSlow` in this thread after so much processor time of this process."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass
class Fuzz:
    """One run; ``kept``: the folder for what was found."""

    kept: Path
    chance: random.Random
    count: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def look(self, image: Path, words: str) -> None:
        """Everything about one damaged image."""
        self.count["images"] += 1
        self._ask(image, words, "in the child", lambda: image_sources.describe_file([image]))
        self._ask(image, words, "without it", lambda: _here(image))
        out = image.with_name("ours.raw")
        if image.suffix in QEMU_NAMES and self._ask(image, words, "converted", lambda: _converted(image, out)):
            self._compare(image, words, out)

    def _ask(self, image: Path, words: str, how: str, work: Callable[[], object]) -> bool:
        try:
            with within(SECONDS):
                work()
        except UnfinishedError as error:
            self._found(image, words, f"{how}: {error.problem.what}")
        except ServiceError:
            self.count[f"{how}: refused"] += 1
        except TooSlow:
            self._found(image, words, f"{how}: more than {SECONDS} s")
        except Exception:  # noqa: BLE001 - that is what is looked for
            self._found(image, words, f"{how}:\n{traceback.format_exc()}")
        else:
            self.count[f"{how}: read"] += 1
            return True
        return False

    def _compare(self, image: Path, words: str, ours: Path) -> None:
        theirs = image.with_name("theirs.raw")
        kind = QEMU_NAMES[image.suffix]
        sized = ",force_size_calc=current_size" if kind == "vpc" else ""  # as Hyper-V and Azure take a VHD's size
        source = f"driver={kind},file.filename={image}{sized}"
        if not _run("qemu-img", "convert", "--image-opts", "-O", "raw", source, theirs):
            self.count["only ours reads it"] += 1
        elif _digest(ours) != _digest(theirs):
            sizes = f"{ours.stat().st_size} and {theirs.stat().st_size} bytes"
            self._found(image, words, f"other bytes than qemu-img reads ({sizes})")
        else:
            self.count["the same as qemu-img"] += 1
        theirs.unlink(missing_ok=True)

    def _found(self, image: Path, words: str, what: str) -> None:
        self.count["findings"] += 1
        self.kept.mkdir(parents=True, exist_ok=True)
        name = self.kept / f"{len(self.findings):03}-{image.name}"
        shutil.copy(image, name)
        text = f"{name}: {what}\n  {words}"
        name.with_name(f"{name.name}.txt").write_text(text)
        self.findings.append(text)
        click.echo(text, err=True)


def _here(image: Path) -> object:
    """The same look as in the child, in this process."""
    client._INSIDE = True
    try:
        return image_sources._describe_files([image], False, True, Route.IMAGE)
    finally:
        client._INSIDE = False


def _converted(image: Path, out: Path) -> None:
    out.unlink(missing_ok=True)
    convert(Request(image, out, Format.RAW, checksums=False))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@click.command()
@click.option("--minutes", type=float, default=10.0, show_default=True, help="How long.")
@click.option("--seed", type=int, help="The same damage again; else another one each time.")
@click.option("--kept", type=click.Path(path_type=Path), default=Path("fuzz-findings"), show_default=True)
def main(minutes: float, seed: int | None, kept: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    click.echo(f"seed {seed}")
    fuzz = Fuzz(kept, random.Random(seed))
    ends = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = seeds(folder)
        click.echo(f"{len(good)} images to damage")
        while time.monotonic() < ends:
            if fuzz.chance.random() < GUESTS:
                guest = fuzz.chance.choice(sorted(guests.index()))
                image = folder / "damaged.raw"
                guests.restore(guest, image)
                fuzz.look(image, f"{guest}: {damaged_guest(image, fuzz.chance)}")
                continue
            chosen = fuzz.chance.choice(good)
            data = bytearray(chosen.read_bytes())
            words = damaged(data, fuzz.chance)
            image = folder / f"damaged{chosen.suffix}"
            image.write_bytes(data)
            fuzz.look(image, f"{chosen.name}: {words}")
    for what, number in sorted(fuzz.count.items()):
        click.echo(f"{number:8} {what}")
    sys.exit(1 if fuzz.findings else 0)


if __name__ == "__main__":
    main()
