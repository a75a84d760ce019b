"""Every source on every route, against the simulators: each cell ends in equal bytes or in the reason why not.

    make matrix                 the whole table
    make matrix ROWS=vhd,ova    some of its rows

A cell is a real job of a real worker. Equal means: the EBS snapshot, read back block by block, has the very
bytes of the source disk and zeros behind them. Rows that need qemu-img to make their source say so where it is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmie_tui import settings as settings_module
from vmie_tui.commands import inventory as inventory_command
from vmie_tui.jobs.engine.polling import INTERVAL_VARIABLE, POLL_VARIABLE
from vmie_tui.jobs.engine.worker_process import stop_worker
from vmie_tui.model.errors import VmieError
from vmie_tui.model.finding import Severity
from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Machine, OsFamily, Power
from vmie_tui.model.plan import (
    BootMode,
    ImportPlan,
    LegacyInstance,
    LicenseType,
    Route,
    Source,
    UploadFormat,
    Via,
    VmSource,
)
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.override import CONTENT, blocked, impossible
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.task import JobState
from vmie_tui.operations.jobs import Jobs
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.disks import convert
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.settings import DEMO, Settings
from vmie_tui.simulators import launch
from vmie_tui.simulators.fleet.tiny import make_boot

MIB, GIB = 1 << 20, 1 << 30
SIZE, DATA = 12 * MIB, 6 * MIB
REGION, ZONE = "eu-west-1", "eu-west-1a"
QEMU = shutil.which("qemu-img")


@dataclass(frozen=True, slots=True)
class Row:
    """A source, what the rules know of it, and the raw disks it must come out as."""

    name: str
    source: Source
    machine: Machine
    disks: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """``equal``: the job ended and every byte is there; else ``words`` is the reason it was refused beforehand."""

    equal: bool = False
    words: str = ""
    failed: bool = False

    @property
    def mark(self) -> str:
        return "✖" if self.failed else "=" if self.equal else "–"


class World:
    """The simulators, one worker, and a raw disk with a small Linux."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.profile = settings.profile()
        self.client = Jobs(settings)
        self.aws: Aws = open_session(self.profile.aws)
        self.admin = launch.Admin(settings.demo_dir)
        self.raw = folder / "disk.raw"
        make_boot(self.raw, SIZE, DATA, "matrix")

    def vm(self, power: Power) -> Row:
        """The first machine of the small fleet in this state whose disks can all be exported."""
        found = inventory_command.read(self.settings).machines
        machine = next(
            vm
            for vm in found
            if vm.power is power and vm.os_family is OsFamily.LINUX and len(vm.disks) == 1 and not impossible(vm)
        )
        host = self.profile.vcenter.host if self.profile.vcenter else ""
        rows = self.admin("vcenter", "GET", f"disks?vm={machine.moid}")["disks"]
        source = VmSource(host, machine.moid, machine.name, machine.instance_uuid)
        return Row(f"VM {power.value}", source, machine, tuple(Path(row["path"]) for row in rows))


# ---- sources


def written(world: World, name: str, kind: convert.Format) -> Path:
    """An image of the raw disk by our own writers, made once."""
    path = world.folder / name
    if not path.exists():
        convert.convert(convert.Request(world.raw, path, kind, raw=True))
    return path


def by_qemu(world: World, name: str, kind: str, options: str = "") -> Path:
    if QEMU is None:
        raise LookupError("qemu-img is not installed, so there is no such file to import")
    path = world.folder / name
    chosen = ["-o", options] if options else []
    if not path.exists():
        subprocess.run([QEMU, "convert", "-f", "raw", "-O", kind, *chosen, str(world.raw), str(path)], check=True)
    return path


def unpacked(world: World, name: str) -> Path:
    """An OVF with its disk beside it, as an OVA holds them."""
    folder = world.folder / name
    with tarfile.open(written(world, f"{name}.ova", convert.Format.OVA)) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("*.ovf"))


Maker = Callable[[World], Path]
F = convert.Format
FILES: dict[str, Maker] = {
    "OVA": lambda w: written(w, "web.ova", F.OVA),
    "OVF": lambda w: unpacked(w, "ovf"),
    "RAW": lambda w: w.raw,
    "VMDK stream": lambda w: written(w, "stream.vmdk", F.VMDK),
    "VMDK sparse": lambda w: by_qemu(w, "sparse.vmdk", "vmdk", "subformat=monolithicSparse"),
    "VMDK flat": lambda w: by_qemu(w, "flat.vmdk", "vmdk", "subformat=monolithicFlat"),
    "VMDK 2 GB sparse": lambda w: by_qemu(w, "split.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"),
    "VMDK 2 GB flat": lambda w: by_qemu(w, "splitflat.vmdk", "vmdk", "subformat=twoGbMaxExtentFlat"),
    "VHD fixed": lambda w: written(w, "fixed.vhd", F.VHD_FIXED),
    "VHD dynamic": lambda w: written(w, "dynamic.vhd", F.VHD_DYNAMIC),
    "VHDX": lambda w: by_qemu(w, "disk.vhdx", "vhdx"),
    "QCOW2": lambda w: by_qemu(w, "disk.qcow2", "qcow2"),
    "VDI": lambda w: by_qemu(w, "disk.vdi", "vdi"),
}
OBJECTS: dict[str, Maker] = {f"S3 {name}": FILES[name] for name in ("VMDK stream", "OVA", "VHD dynamic", "VMDK sparse")}
ROWS = ("VM off", "VM on", *FILES, *OBJECTS, "EBS snapshot")


def file_row(world: World, name: str) -> Row:
    from vmie_tui.services.image_sources import describe_file

    found = describe_file([str(FILES[name](world))], raw=name == "RAW")
    return Row(name, found.source, found.machine, (world.raw,))


def object_row(world: World, name: str) -> Row:
    from vmie_tui.services.image_sources import describe_object

    path, bucket = OBJECTS[name](world), world.profile.aws.bucket
    key = f"given/{path.name}"
    with path.open("rb") as body:
        world.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    found = describe_object(world.aws, bucket, [key])
    return Row(name, found.source, found.machine, (world.raw,))


def snapshot_row(world: World) -> Row:
    from vmie_tui.services.image_sources import describe_snapshots

    view = run(world, plan_for(world, file_row(world, "VMDK stream"), Route.SNAPSHOT))
    found = describe_snapshots(world.aws, REGION, [disk.snapshot_id for disk in view.disks])
    return Row("EBS snapshot", found.source, found.machine, (world.raw,))


def row_of(world: World, name: str) -> Row:
    if name.startswith("VM "):
        powers = {f"VM {power.value}": power for power in Power}
        if name in powers:
            return world.vm(powers[name])
    if name in FILES:
        return file_row(world, name)
    return object_row(world, name) if name in OBJECTS else snapshot_row(world)


# ---- cells


def plan_for(world: World, row: Row, route: Route, **more: Any) -> ImportPlan:
    aws = world.profile.aws
    values: dict[str, Any] = {
        "license_type": LicenseType.BYOL if route in {Route.IMAGE, Route.IMAGE_DIRECT} else None,
        "prefix": "matrix/",
        "platform": "Linux" if route in {Route.IMAGE_DIRECT, Route.INSTANCE} else None,
        "boot_mode": BootMode.LEGACY_BIOS if route is Route.UNMODIFIED else None,
        "legacy": LegacyInstance("m3.medium", ZONE) if route is Route.INSTANCE else None,
        "override": (CONTENT,),  # a guest of a few files is none that boots
        **more,
    }
    return ImportPlan(world.profile.name, row.source, REGION, aws.bucket, route, **values)


def run(world: World, plan: ImportPlan) -> JobView:
    """The finished job; RuntimeError when it did not finish well."""
    return finished(world, world.client.submit(plan))


def finished(world: World, job_id: str) -> JobView:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        view = world.client.job(job_id)
        if view.state is JobState.DONE:
            return view
        if view.state.terminal or view.state in {JobState.FAILED, JobState.NEEDS_LOGIN}:
            raise RuntimeError(f"{view.state.value}: {view.problem or world.client.log(job_id)[-1].text}")
        time.sleep(0.05)
    raise RuntimeError(f"still {view.state.value} after three minutes: {view.message}")


def start(world: World, row: Row, route: Route, variant: dict[str, Any]) -> Cell | str:
    """The id of the cell's job, or the cell at once when the rules refuse it."""
    plan = plan_for(world, row, route, **variant)
    found = check_plan(plan, row.machine)
    firm = blocked(row.machine, found, check_machine(row.machine, route=route)).firm
    if firm:
        return Cell(words=f"{firm[0].what}. {firm[0].remedy} [{firm[0].fact}]")
    soft = tuple(finding.headline for finding in found if finding.severity is Severity.BLOCKER)
    try:
        return world.client.submit(replace(plan, override=(*soft, CONTENT)))
    except VmieError as error:
        return Cell(words=str(error), failed=True)


def end(world: World, row: Row, begun: Cell | str) -> Cell:
    if isinstance(begun, Cell):
        return begun
    try:
        return compare(world, row, finished(world, begun))
    except (RuntimeError, VmieError) as error:
        return Cell(words=str(error), failed=True)


def line_of(world: World, row: Row, columns: Sequence[str]) -> dict[str, Cell]:
    """All cells of a row: side by side, but for a VM, which can be exported once at a time."""
    if isinstance(row.source, VmSource):
        return {name: end(world, row, start(world, row, *COLUMNS[name])) for name in columns}
    begun = {name: start(world, row, *COLUMNS[name]) for name in columns}
    return {name: end(world, row, one) for name, one in begun.items()}


def snapshots_of(world: World, view: JobView) -> list[str]:
    """The snapshots a job made; of an instance's volumes those that are taken now."""
    if not view.task_id.startswith("import-i-"):
        return [disk.snapshot_id for disk in view.disks]
    from vmie_tui.services.aws.vmie.conversion_tasks import ConversionTasks

    ec2 = world.aws.client("ec2")
    volumes = ConversionTasks(world.aws, REGION).task(view.task_id).volume_ids
    return [str(ec2.create_snapshot(VolumeId=volume)["SnapshotId"]) for volume in volumes]


def compare(world: World, row: Row, view: JobView) -> Cell:
    from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader

    ids = snapshots_of(world, view)
    if len(ids) != len(row.disks) or not all(ids):
        return Cell(words=f"snapshots {ids} for {len(row.disks)} disk(s)", failed=True)
    for ident, path in zip(ids, row.disks, strict=True):
        with SnapshotReader(world.aws, REGION, ident) as snapshot, RawFile(path, snapshot.size) as disk:
            for offset, length in (*snapshot.extents(), *disk.extents()):
                if snapshot.read_at(offset, length) != disk.read_at(offset, length):
                    return Cell(words=f"{ident} differs from {path.name}", failed=True)
    return Cell(equal=True)


COLUMNS: dict[str, tuple[Route, dict[str, Any]]] = {
    "image": (Route.IMAGE, {}),
    "image OVA": (Route.IMAGE, {"upload_format": UploadFormat.OVA}),
    "image VHD": (Route.IMAGE, {"upload_format": UploadFormat.VHD}),
    "image RAW": (Route.IMAGE, {"upload_format": UploadFormat.RAW}),
    "image direct": (Route.IMAGE_DIRECT, {}),
    "unmodified": (Route.UNMODIFIED, {}),
    "unmod. EBS": (Route.UNMODIFIED, {"via": Via.EBS}),
    "snapshot": (Route.SNAPSHOT, {}),
    "snap. EBS": (Route.SNAPSHOT, {"via": Via.EBS}),
    "instance": (Route.INSTANCE, {}),
}


@contextmanager
def a_world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="vmie-matrix-"))
    os.environ.update(VMIE_STATE_DIR=str(folder), VMIE_CONFIG_FILE=str(folder / "config.toml"))
    os.environ.update({INTERVAL_VARIABLE: "0.1", POLL_VARIABLE: "0.05"})
    settings = settings_module.load(state_dir=folder)
    try:
        launch.start(settings.demo_dir, launch.Wanted(speed=1000, rate=0, idle_hours=0.5, fleet="tiny"))
        settings = settings_module.load(DEMO, state_dir=folder)
        yield World(folder, settings)
    finally:
        stop_worker(settings)
        launch.stop(settings.demo_dir)
        shutil.rmtree(folder, ignore_errors=True)


def table(rows: Sequence[str], columns: Sequence[str], show: Callable[[str], None]) -> dict[str, dict[str, Cell]]:
    cells: dict[str, dict[str, Cell]] = {}
    show(f"{'':<18}" + "".join(f"{name:>13}" for name in columns))
    with a_world() as world:
        for name in rows:
            try:
                row = row_of(world, name)
            except LookupError as missing:
                cells[name] = {column: Cell(words=str(missing)) for column in columns}
            except VmieError as error:
                cells[name] = {column: Cell(words=str(error), failed=True) for column in columns}
            else:
                cells[name] = line_of(world, row, columns)
            show(f"{name:<18}" + "".join(f"{cells[name][column].mark:>13}" for column in columns))
    return cells


def reasons(cells: dict[str, dict[str, Cell]]) -> Iterator[str]:
    """Each reason once, with the cells it stands for."""
    places: dict[str, list[str]] = {}
    for row, line in cells.items():
        for column, found in line.items():
            if found.words:
                places.setdefault(("FAILED: " if found.failed else "") + found.words, []).append(f"{row} × {column}")
    for words, where in places.items():
        yield f"– {words}\n    {', '.join(where)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", default="", help=f"comma-separated, case ignored, beginnings do: {', '.join(ROWS)}")
    parser.add_argument("--columns", default="", help=", ".join(COLUMNS))
    parser.add_argument("--json", action="store_true", help="the cells as JSON on stdout")
    asked = parser.parse_args()
    cells = table(
        _chosen(asked.rows, ROWS),
        _chosen(asked.columns, tuple(COLUMNS)),
        lambda line: print(line, file=sys.stderr if asked.json else sys.stdout, flush=True),
    )
    if asked.json:
        rows = {row: {name: [c.mark, c.words] for name, c in line.items()} for row, line in cells.items()}
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        print("\n= equal bytes   – refused beforehand, for the reason below   ✖ failed\n")
        print("\n".join(reasons(cells)))
    return int(any(found.failed for line in cells.values() for found in line.values()))


def _chosen(text: str, names: Sequence[str]) -> list[str]:
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    return [name for name in names if not wanted or any(name.lower().startswith(part) for part in wanted)]


if __name__ == "__main__":
    sys.exit(main())
