"""Other tools' test images through preflight and conversion, beside qemu-img and blkid; real guests to the login.

    make peers                          fetch into ~/.cache/vmie-tui-peers, run, write docs/peers.md
    make peers PEERS="--only images"    without the guests; --only guests the other way round
    make peers PEERS="--extra FOLDER"   with further images, such as a checkout of dfvfs's test_data

For maintainers: it needs Debian with sources and network, qemu-utils, util-linux, and for the guests root, mmdebstrap,
mtools, e2fsprogs and qemu-system-x86 (ovmf for UEFI). What is missing is said, and its rows are left out. Nothing that
is fetched is kept in the repository.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import multiprocessing
import os
import platform
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmie_tui import cli

PACKAGES = ("util-linux", "e2fsprogs", "btrfs-progs", "qemu", "hivex")
INSTALLED = (
    "linux-image-amd64", "systemd-sysv", "udev", "openssh-server", "isc-dhcp-client", "ifupdown", "grub-common",
    "grub-pc-bin", "grub-efi-amd64-bin",
)  # fmt: skip
RELEASE = "bookworm"
LIMIT = 60  # seconds for one image and one command
LARGEST = 256 << 20  # bytes of a disk that is converted and compared
MIB = 1 << 20
# blkid's names and ours, where they differ.
SAME = {
    "ext2": "ext", "ext3": "ext", "ext4": "ext", "ext4dev": "ext", "vfat": "fat", "crypto_LUKS": "luks",
    "LVM2_member": "lvm", "LVM1_member": "lvm1", "linux_raid_member": "mdraid", "zfs_member": "zfs", "VMFS": "vmfs",
    "VMFS_volume_member": "vmfs-member", "ceph_bluestore": "bluestore", "jbd": "ext-journal", "swsuspend": "swap",
    "xfs_external_log": "xfs-log", "BitLocker": "bitlocker", "drbdmanage_control_volume": "drbd", "reiser4": "reiser4",
}  # fmt: skip
OURS = {"ext2": "ext", "ext3": "ext", "ext4": "ext"}
TOOLS = {
    "images": ("apt-get", "blkid", "qemu-img"),
    "guests": ("mmdebstrap", "mke2fs", "mformat", "mcopy", "mmd", "qemu-system-x86_64", "qemu-img"),
}


@dataclass
class Image:
    """One test image, and what we and the others say of it."""

    collection: str
    path: Path
    theirs: str = ""  # blkid's TYPE, or the table
    format: str = ""  # qemu-img's
    ours: str = ""
    look: str = ""  # ok, refused, crash, hang
    turned: str = ""  # same, differs, refused, crash, hang, not compared
    words: list[str] = field(default_factory=list)


# ---- fetching


def fetch(cache: Path, packages: Sequence[str]) -> dict[str, str]:
    """Debian's source packages into the cache; {package: version}, "" for one that could not be had."""
    sources = cache / "sources"
    for name in ("lists/partial", "cache/archives/partial", "parts", "files"):
        (sources / name).mkdir(parents=True, exist_ok=True)
    for path in Path("/etc/apt/sources.list.d").glob("*.sources"):
        text = path.read_text().replace("Types: deb\n", "Types: deb-src\n")
        (sources / "parts" / path.name).write_text(text)
    options = []
    for setting in (
        "Dir::Etc::sourcelist=/dev/null", f"Dir::Etc::sourceparts={sources}/parts",
        f"Dir::State::lists={sources}/lists",
        f"Dir::Cache={sources}/cache", "Debug::NoLocking=1", "APT::Sandbox::User=root",
    ):  # fmt: skip
        options += ["-o", setting]
    say("asking for Debian's source packages")
    subprocess.run(["apt-get", *options, "update", "-qq"], check=False)
    found = {}
    for package in packages:
        if not list((sources / "files").glob(f"{package}_*.orig.tar.*")):
            command = ["apt-get", *options, "source", "--download-only", "-qq", package]
            subprocess.run(command, cwd=sources / "files", check=False, stderr=subprocess.DEVNULL)
        archives = sorted((sources / "files").glob(f"{package}_*.orig.tar.[gx]z"))
        found[package] = archives[-1].name.split("_")[1].split(".orig")[0] if archives else ""
    return found


WANTED: dict[str, Callable[[str], bool]] = {
    "util-linux": lambda name: "/tests/ts/blkid/images" in name and name.endswith(".xz"),
    "e2fsprogs": lambda name: "/tests/" in name and name.endswith(("image.gz", ".img.gz", ".img.bz2")),
    "btrfs-progs": lambda name: "/tests/" in name and name.endswith((".raw.xz", ".img", ".img.xz")),
    "qemu": lambda name: "/sample_images/" in name and name.endswith(".bz2"),
    "hivex": lambda name: "/images/" in name and not name.endswith((".c", ".pl", ".am", ".in")),
}
OPEN: dict[str, Callable[[Any], Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}


def unpacked(cache: Path, packages: dict[str, str], extra: Sequence[Path]) -> Iterator[Image]:
    """The test images of the packages, each unpacked once."""
    for package, version in packages.items():
        if not version:
            continue
        folder = cache / "images" / f"{package}-{version}"
        if not folder.exists():
            say(f"unpacking the images of {package} {version}")
            [archive] = sorted((cache / "sources" / "files").glob(f"{package}_{version}.orig.tar.[gx]z"))[:1]
            _unpack(archive, WANTED[package], folder)
        for path in sorted(folder.iterdir()):
            yield Image(package, path)
    for place in extra:
        for path in sorted(path for path in place.rglob("*") if path.is_file() and path.stat().st_size):
            yield Image(place.name, path)


def _unpack(archive: Path, wanted: Callable[[str], bool], folder: Path) -> None:
    half = folder.with_name(folder.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    with tarfile.open(archive) as source:
        for member in source:
            if not member.isfile() or not wanted(member.name):
                continue
            stream: Any = source.extractfile(member)
            name = "-".join(Path(member.name).parts[-2:])
            suffix = Path(name).suffix
            if suffix in OPEN:
                stream, name = OPEN[suffix](stream), name.removesuffix(suffix)
            with (half / name).open("wb") as out:
                while piece := stream.read(MIB):
                    if piece.strip(b"\0"):
                        out.write(piece)
                    else:
                        out.seek(len(piece), os.SEEK_CUR)
                out.truncate(out.tell())
    half.rename(folder)


# ---- one image


def examined(image: Image) -> Image:
    """Ask blkid and qemu-img, then look at it and convert it."""
    image.theirs = _blkid(image.path)
    image.format, size = _qemu(image.path)
    code, out, said = _command(["preflight", "--json", str(image.path)])
    image.look = "crash" if "unexpected " in said else "hang" if code is None else "ok" if out else "refused"
    image.words = [said[-200:]] if image.look in {"crash", "hang"} else []
    if out.startswith("["):
        for answer in json.loads(out):
            guest = answer.get("guest") or {}
            kinds = [volume["kind"] for volume in guest.get("volumes", [])]
            tables = [disk["table"] for disk in guest.get("disks", [])]
            image.ours = tables[0] if tables and tables[0] in {"mbr", "gpt"} else kinds[0] if kinds else ""
            image.words += [f"{each['what']} ({each['remedy']})" for each in answer["findings"] if each["remedy"]]
    _converted(image, size)
    return image


def _blkid(path: Path) -> str:
    for tag in ("TYPE", "PTTYPE"):
        done = subprocess.run(
            ["blkid", "-p", "-o", "value", "-s", tag, str(path)], capture_output=True, text=True, check=False
        )
        if done.stdout.strip():
            return {"dos": "mbr"}.get(done.stdout.strip(), done.stdout.strip())
    return ""


def _qemu(path: Path) -> tuple[str, int]:
    command = ["qemu-img", "info", "--output=json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode:
        return "", 0
    info = json.loads(done.stdout)
    return info["format"], info["virtual-size"]


def _converted(image: Image, size: int) -> None:
    if size > LARGEST:
        image.turned = "not compared"
        return
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.raw", Path(folder) / "theirs.raw"
        code, _, said = _command(["convert", str(image.path), str(ours)])
        if code is None or "unexpected " in said:
            image.turned = "hang" if code is None else "crash"
            image.words.append(said[-200:])
        elif code:
            image.turned = "refused"
            image.words.append(said.strip().splitlines()[-1][:300] if said.strip() else "")
        else:
            command = ["qemu-img", "convert", "-O", "raw", str(image.path), str(theirs)]
            done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
            if done.returncode:
                image.turned = "not compared"
            else:
                image.turned = "same" if _same(ours, theirs) else "differs"


def _same(one: Path, other: Path) -> bool:
    """Equal but for zeros at the end: qemu-img fills up to whole sectors."""
    with one.open("rb") as first, other.open("rb") as second:
        while True:
            left, right = first.read(MIB), second.read(MIB)
            length = min(len(left), len(right))
            if left[:length] != right[:length] or any(left[length:]) or any(right[length:]):
                return False
            if not left and not right:
                return True


class _TooLongError(Exception):
    pass


def _late(*_: object) -> None:
    raise _TooLongError


def _command(words: list[str]) -> tuple[int | None, str, str]:
    """(exit code, output, messages) of vmie-tui; no code when it did not end in time."""
    out, said = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code: int | None = cli.main(words)
    except _TooLongError:
        code = None
    finally:
        signal.alarm(0)
    return code, out.getvalue(), said.getvalue()


# ---- guests


def boot_disk(folder: Path, root: Path, firmware: str) -> Path:
    """A disk with an installed Debian: MBR and GRUB's core image in the gap, or GPT and an EFI system partition."""
    disk, part, esp = folder / f"{firmware}.raw", folder / f"{firmware}.ext4", folder / f"{firmware}.fat"
    size = 1200 * MIB
    with part.open("wb") as file:
        file.truncate(size)
    uuid = {"bios": "11111111-1111-4111-8111-111111111111", "uefi": "22222222-2222-4222-8222-222222222222"}[firmware]
    fstab = f"UUID={uuid} / ext4 errors=remount-ro 0 1\n"
    fstab += "/dev/disk/by-uuid/A1B2-C3D4 /boot/efi vfat umask=0077 0 0\n" if firmware == "uefi" else ""
    (root / "etc/fstab").write_text(fstab)
    version = max(path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    command = f"linux /boot/vmlinuz-{version} root=UUID={uuid} ro console=ttyS0 net.ifnames=0 mitigations=off quiet"
    command += f"\n initrd /boot/initrd.img-{version}"
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/efi").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(
        f"set timeout=1\nmenuentry 'Debian' {{\n search --fs-uuid --set=root {uuid}\n {command}\n}}\n"
    )
    run("mke2fs", "-q", "-F", "-t", "ext4", "-U", uuid, "-d", str(root), str(part))
    start = 64 * MIB
    total = start + size + 2 * MIB
    with disk.open("wb") as file:
        file.truncate(total)
    early = folder / "early.cfg"
    early.write_text(f"search --fs-uuid --set=root {uuid}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n")
    shutil.copy(early, root / "tmp/early.cfg")
    kind = {"bios": "i386-pc", "uefi": "x86_64-efi"}[firmware]
    modules = ["part_msdos", "part_gpt", "ext2", "normal", "linux", "search", "search_fs_uuid", "configfile", "serial"]
    modules += ["biosdisk"] if firmware == "bios" else []
    run(
        "chroot",
        str(root),
        "grub-mkimage",
        "-O",
        kind,
        "-p",
        "/boot/grub",
        "-c",
        "/tmp/early.cfg",
        "-o",
        "/tmp/core.img",
        *modules,
    )
    core = (root / "tmp/core.img").read_bytes()
    (root / "tmp/core.img").unlink()
    (root / "tmp/early.cfg").unlink()
    if firmware == "bios":
        _install_bios(disk, (root / "usr/lib/grub/i386-pc/boot.img").read_bytes(), core, start, size)
    else:
        run(
            "sgdisk",
            "-n",
            f"1:2048:{start // 512 - 1}",
            "-t",
            "1:ef00",
            "-n",
            f"2:{start // 512}:0",
            "-t",
            "2:8300",
            str(disk),
        )
        with esp.open("wb") as file:
            file.truncate(start - MIB)
        (folder / "BOOTX64.EFI").write_bytes(core)
        run("mformat", "-i", str(esp), "-F", "-v", "ESP", "-N", "A1B2C3D4", "::")
        run("mmd", "-i", str(esp), "::/EFI", "::/EFI/BOOT")
        run("mcopy", "-i", str(esp), str(folder / "BOOTX64.EFI"), "::/EFI/BOOT/BOOTX64.EFI")
        put(esp, disk, MIB)
    put(part, disk, start)
    part.unlink()
    return disk


def _install_bios(disk: Path, boot: bytes, core: bytes, start: int, size: int) -> None:
    """As grub-bios-setup does it: boot.img reads sector 1, whose end says how many sectors of core.img follow."""
    first = bytearray(boot[:440].ljust(512, b"\0"))
    struct.pack_into("<Q", first, 0x5C, 1)
    struct.pack_into("<H", first, 0x66, 0x9090)
    struct.pack_into("<B3xB3xII", first, 446, 0x80, 0x83, start // 512, size // 512)
    first[510:] = b"\x55\xaa"
    whole = bytearray(core.ljust(-(-len(core) // 512) * 512, b"\0"))
    struct.pack_into("<QHH", whole, 500, 2, len(whole) // 512 - 1, 0x820)
    with disk.open("r+b") as file:
        file.write(first)
        file.write(whole)


def put(source: Path, target: Path, at: int) -> None:
    """Copy a file into another one, its zeros left out."""
    with source.open("rb") as file, target.open("r+b") as out:
        offset = at
        while piece := file.read(MIB):
            if piece.strip(b"\0"):
                out.seek(offset)
                out.write(piece)
            offset += len(piece)


def login(disk: Path, firmware: str, accelerator: str, limit: float = 900.0) -> str:
    """Start a disk without changing it; the seconds until it asks for a login, or what it said last."""
    command = [
        "qemu-system-x86_64",
        "-m",
        "1024",
        "-nographic",
        "-monitor",
        "none",
        "-serial",
        "stdio",
        "-snapshot",
        "-no-reboot",
    ]
    command += ["-accel", accelerator, "-cpu", "max"]
    command += ["-drive", f"file={disk},format=raw,if=virtio", "-nic", "none"]
    if firmware == "uefi":
        command += ["-bios", "/usr/share/ovmf/OVMF.fd"]
    begun, heard = time.monotonic(), b""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as machine:
        assert machine.stdout is not None
        try:
            while time.monotonic() - begun < limit:
                if not select.select([machine.stdout], [], [], 5)[0]:
                    continue
                piece = os.read(machine.stdout.fileno(), 65536)
                heard = (heard + piece)[-100_000:]
                if b" login:" in heard:
                    return f"login prompt after {time.monotonic() - begun:.0f} s"
                if not piece:
                    break
        finally:
            machine.kill()
    return "no login prompt: " + heard[-200:].decode("utf-8", "replace").strip().replace("\n", " ")


def guests(cache: Path, accelerator: str) -> list[dict[str, str]]:
    """Real Debian guests, to a stream and back, started before and after."""
    folder = cache / "guests"
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / f"root-{RELEASE}"
    if not (root / "boot").exists():
        say(f"installing Debian {RELEASE}")
        run("mmdebstrap", "--variant=minbase", f"--include={','.join(INSTALLED)}", RELEASE, str(root))
    rows = []
    for firmware in ("bios", "uefi"):
        say(f"a guest with {firmware.upper()}")
        disk = boot_disk(folder, root, firmware)
        code, out, _ = _command(["preflight", "--json", str(disk)])
        answer = json.loads(out)[0]
        stream, back = folder / f"{firmware}.vmdk", folder / f"{firmware}-back.raw"
        for made, source in ((stream, disk), (back, stream)):
            made.unlink(missing_ok=True)
            _run_cli(["convert", str(source), str(made)])
        equal = digest(disk) == digest(back)
        theirs = subprocess.run(
            ["qemu-img", "compare", str(disk), str(stream)], capture_output=True, text=True, check=False
        )
        with ThreadPoolExecutor(2) as both:
            before, after = both.map(lambda path: login(path, firmware, accelerator), (disk, back))  # noqa: B023
        rows.append({
            "guest": f"Debian {(root / 'etc/debian_version').read_text().strip()}, {firmware.upper()}",
            "preflight": f"{answer['verdict']} (exit code {code}): " + (
                ", ".join(each["what"] for each in answer["findings"] if each["severity"] != "info") or "nothing found"
            ) + f"; {answer['requests']} requests",
            "bytes": ("equal" if equal else "DIFFER") + f"; qemu-img: {theirs.stdout.strip().rstrip('.').lower()}",
            "size": f"{disk.stat().st_size // MIB} MiB, {disk.stat().st_blocks * 512 // MIB} of them used -> "
            f"{stream.stat().st_size // MIB} MiB",
            "before": before,
            "after": after,
        })  # fmt: skip
        for path in (stream, back):
            path.unlink()
    return rows


def _run_cli(words: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = cli.main(words)
    if code:
        raise SystemExit(f"vmie-tui {' '.join(words)}: {said.getvalue()}")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- the table


def report(packages: dict[str, str], images: list[Image], rows: list[dict[str, str]]) -> str:
    lines = [
        "# Beside other tools", "",
        "Written by `make peers` (`tools/peers.py`), which fetches other projects' test images, looks at each with",
        "`vmie-tui preflight`, converts it, and asks blkid and qemu-img the same. Nothing of that data is in this",
        "repository.",
        f"Run of {time.strftime('%Y-%m-%d')}, Python {platform.python_version()}.", "",
    ]  # fmt: skip
    if images:
        lines += ["## Test images", "", *_image_lines(packages, images)]
    if rows:
        lines += [
            "## Real guests",
            "",
            "Made by mmdebstrap; RAW -> streamOptimized VMDK -> RAW by `vmie-tui convert`, started in QEMU.",
            "",
        ]
        lines += ["| guest | preflight | RAW after the way back | size | before | after |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {' | '.join(row[key] for key in ('guest', 'preflight', 'bytes', 'size', 'before', 'after'))} |"
            for row in rows
        ]
        lines.append("")
    return "\n".join(lines)


def _image_lines(packages: dict[str, str], images: list[Image]) -> list[str]:
    lines = [
        "| collection | images | same kind as blkid | blkid knows it, we do not | we differ | preflight: crash, hang | "
        "converted: same as qemu-img | differs | refused in words | not compared | crash, hang |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(image.collection for image in images):
        of_it = [image for image in images if image.collection == name]
        kinds, turned = Counter(map(_agreement, of_it)), Counter(image.turned for image in of_it)
        broken = sum(image.look in {"crash", "hang"} for image in of_it)
        lines.append(
            f"| {name} {packages.get(name, '')} | {len(of_it)} | {kinds['same']} | {kinds['unknown']} | "
            f"{kinds['differs']} | {broken} | {turned['same']} | {turned['differs']} | {turned['refused']} | "
            f"{turned['not compared']} | {turned['crash'] + turned['hang']} |"
        )
    absent = [name for name, version in packages.items() if not version]
    lines += ["", f"Could not be fetched: {', '.join(absent)}." if absent else "All packages were fetched.", ""]
    lines += [
        "Containers and images that were refused in words although qemu-img reads them, and every difference:",
        "",
    ]
    lines += ["| image | blkid | qemu-img | ours | what was said |", "|---|---|---|---|---|"]
    for image in images:
        container = image.format not in {"raw", ""} and image.turned == "refused"
        broken = image.turned in {"differs", "crash", "hang"} or image.look in {"crash", "hang"}
        if container or broken or _agreement(image) in {"differs", "unknown"}:
            said = image.words[-1].replace("|", "/").replace(str(image.path), image.path.name) if image.words else ""
            said = said.replace("\n", " ")
            lines.append(
                f"| {image.path.name} | {image.theirs} | {image.format} | {image.ours or image.turned} | {said[:160]} |"
            )
    return [*lines, ""]


def _agreement(image: Image) -> str:
    """Of what is on an image, ours and blkid's word."""
    container = image.format not in {"raw", ""}
    if container or "refused" in {image.look, image.turned} or not (image.theirs or image.ours):
        return ""  # what was refused has its name in the words
    theirs = SAME.get(image.theirs, "fwraid" if image.theirs.endswith("_raid_member") else image.theirs)
    ours = OURS.get(image.ours, image.ours)
    if theirs == ours:
        return "same"
    return "unknown" if not ours else "differs"


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "vmie-tui-peers")
    parser.add_argument("--only", choices=("images", "guests"))
    parser.add_argument("--accelerator", choices=("tcg", "kvm"), default="tcg", help="kvm is faster where it works")
    parser.add_argument("--packages", default=",".join(PACKAGES), help="whose images, with commas between")
    parser.add_argument("--extra", type=Path, action="append", default=[])
    parser.add_argument("--output", type=Path, default=Path("docs/peers.md"))
    asked = parser.parse_args()
    os.environ["PATH"] += os.pathsep + "/usr/sbin:/sbin"
    os.environ["VMIE_STATE_DIR"] = str(asked.cache / "state")
    parts = [asked.only] if asked.only else ["images", "guests"]
    for part in list(parts):
        lacking = [tool for tool in TOOLS[part] if shutil.which(tool) is None]
        if part == "guests" and os.geteuid():
            lacking.append("root")
        if lacking:
            say(f"without the {part}: {', '.join(lacking)} is missing")
            parts.remove(part)
    asked.cache.mkdir(parents=True, exist_ok=True)
    packages: dict[str, str] = {}
    images: list[Image] = []
    if "images" in parts:
        packages = fetch(asked.cache, asked.packages.split(","))
        todo = list(unpacked(asked.cache, packages, asked.extra))
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=spawn, max_tasks_per_child=100) as pool:
            for number, image in enumerate(pool.map(examined, todo), 1):
                images.append(image)
                if not number % 50:
                    say(f"{number} of {len(todo)} images")
    rows = guests(asked.cache, asked.accelerator) if "guests" in parts else []
    asked.output.write_text(report(packages, images, rows), encoding="utf-8")
    say(f"written: {asked.output}")
    bad = [image.path.name for image in images if {image.look, image.turned} & {"crash", "hang", "differs"}]
    bad += [row["guest"] for row in rows if "DIFFER" in row["bytes"] or "no login" in row["before"] + row["after"]]
    for name in bad:
        say(f"look at {name}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
