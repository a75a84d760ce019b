"""The demo without a screen: one VM from the simulated vCenter to an AMI, and the proof that not a byte differs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmie_tui import settings as settings_module
from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.common import out_json, say
from vmie_tui.commands.import_.command import allow
from vmie_tui.commands.start import check_machine
from vmie_tui.commands.wait import wait_for
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.jobs.engine.worker_process import stop_worker
from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.model.formatting import one_line
from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.task import JobState
from vmie_tui.operations.import_check import weigh
from vmie_tui.operations.import_plan import make_plan
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.sources import find
from vmie_tui.services.aws.ebs.snapshot_reader import SnapshotReader
from vmie_tui.services.aws.session import open_session
from vmie_tui.services.disks.streams.source import RawFile, sha256_of
from vmie_tui.settings import DEMO, Settings
from vmie_tui.simulators import launch

SPEED = 600.0  # of the simulated AWS: a conversion takes a few seconds
DEFAULT_VMS = ("db-01",)  # off, two disks


def run(speed: float | None, wanted: Sequence[str]) -> int:
    """Import, prove, print JSON, leave nothing behind. 0 only if every disk is equal."""
    folder = Path(tempfile.mkdtemp(prefix="vmie-headless-"))
    environment = {"VMIE_STATE_DIR": str(folder), "VMIE_CONFIG_FILE": str(folder / "config.toml")}
    os.environ.update(environment)
    for name in ("VMIE_PROFILE", "VMIE_DATABASE_URL", "VMIE_CACHE_DIR"):
        os.environ.pop(name, None)
    settings = settings_module.load(state_dir=folder)
    started = time.monotonic()
    try:
        check_machine(settings)
        say("starting the simulated vCenter and AWS")
        launch.start(settings.demo_dir, launch.Wanted(speed=speed or SPEED, rate=0, idle_hours=0.5))
        settings = settings_module.load(DEMO, state_dir=folder)
        reports = _migrate(settings, wanted or DEFAULT_VMS)
    except BaseException as error:
        named = (place for place in (settings.log_dir, settings.demo_dir) if str(place) in str(error))
        _tidy(settings, folder, keep=next(named, None))
        raise
    _tidy(settings, folder)
    equal = all(report["equal"] for report in reports)
    seconds = round(time.monotonic() - started, 3)
    if len(reports) == 1:
        reports[0]["seconds"]["total"] = seconds
        out_json(reports[0])
    else:
        out_json({"equal": equal, "seconds": seconds, "imports": reports})
    return EXIT_OK if equal else EXIT_FAILED


def _migrate(settings: Settings, wanted: Sequence[str]) -> list[dict[str, Any]]:
    found = inventory_command.read(settings).machines
    say(f"{len(found)} virtual machines in the simulated vCenter")
    machines = [find(found, name) for name in wanted]
    plans = [make_plan(settings.profile(), machine) for machine in machines]
    for plan, machine in zip(plans, machines, strict=True):
        allow(weigh(plan, machine))
    launch.Admin(settings.demo_dir)("vcenter", "POST", "witness", {"on": True})
    client = Jobs(settings)
    ids = [client.submit(plan) for plan in plans]
    for job_id, machine in zip(ids, machines, strict=True):
        say(f"importing {machine.path}, job {job_id}")
    views = wait_for(client, ids)
    for view in views:
        if view.state is not JobState.DONE:
            for line in client.log(view.id):
                say(one_line(f"{line.at:%H:%M:%S} {line.level}: {line.text}"))
            raise _failure(view)
    return [
        _report(machine, view, prove(settings, machine, plan, view))
        for machine, plan, view in zip(machines, plans, views, strict=True)
    ]


def _failure(view: JobView) -> VmieError:
    if view.problem is not None:
        return ServiceError.of(view.problem)
    return ServiceError(ErrorKind.REMOTE, f"the job ended as {view.state.value}", subject=view.id)


def prove(settings: Settings, machine: Machine, plan: ImportPlan, view: JobView) -> list[dict[str, Any]]:
    """Compare each snapshot, read back through EBS direct, with the simulator's raw disk."""
    admin = launch.Admin(settings.demo_dir)
    frozen = admin("vcenter", "GET", f"witness?vm={machine.moid}")["snapshots"]  # one that runs writes on meanwhile
    rows = admin("vcenter", "GET", f"{'witness' if frozen else 'disks'}?vm={machine.moid}&snapshot=last")["disks"]
    sources = {row["key"]: row for row in rows}
    aws = open_session(settings.profile(plan.profile).aws, read_only=True)
    proofs = []
    for disk in view.disks:
        say(f"reading {disk.snapshot_id} back and comparing it with {disk.label}")
        raw, capacity = Path(sources[disk.key]["path"]), sources[disk.key]["capacity"]
        with SnapshotReader(aws, plan.region, disk.snapshot_id) as snapshot:
            size = snapshot.size
            snapshot_sha = sha256_of(snapshot)
        with RawFile(raw, max(size, capacity)) as source:  # a snapshot has whole GiB: zeros behind the disk
            source_sha = sha256_of(source)
        proofs.append(
            {
                "label": disk.label,
                "snapshot_id": disk.snapshot_id,
                "source_bytes": capacity,
                "snapshot_bytes": size,
                "source_sha256": source_sha,
                "snapshot_sha256": snapshot_sha,
                "equal": source_sha == snapshot_sha,
                "bytes_moved": disk.done,
                "stream_sha256": disk.sha256,
                "stream_verified_by_host": disk.verified,
            }
        )
    return proofs


def _report(machine: Machine, view: JobView, disks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "vm": machine.path,
        "job": view.id,
        "image_id": view.image_id,
        "task_id": view.task_id,
        "snapshot_ids": [disk["snapshot_id"] for disk in disks],
        "disks": disks,
        "equal": bool(disks) and all(disk["equal"] for disk in disks),
        "bytes_moved": sum(disk["bytes_moved"] for disk in disks),
        "seconds": {
            stage.stage.value: round((stage.ended - stage.started).total_seconds(), 3)
            for stage in view.stages
            if stage.started and stage.ended
        },
    }


def _tidy(settings: Settings, folder: Path, keep: Path | None = None) -> None:
    """Stop what was started and remove the folder, but for ``keep`` within it."""
    try:
        stop_worker(settings)
        launch.stop(settings.demo_dir)
    finally:
        if keep is None or not keep.exists():
            shutil.rmtree(folder, ignore_errors=True)
        else:
            for path in folder.iterdir():
                if path != keep:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
