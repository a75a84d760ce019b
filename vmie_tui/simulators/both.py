"""What is served: a vCenter and an AWS on loopback, until told to stop or left alone for long.

ROOT gets the TLS files, the AWS credentials file, the vCenter password file, the controls' token and, last of all and
at once, ``profile.toml``: whoever sees that file finds both services answering.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vmie_tui.clock import CLOCK_FILE, Clock
from vmie_tui.pidlock import PidLock
from vmie_tui.private_files import private_dir
from vmie_tui.settings import DEMO
from vmie_tui.simulators.aws.account import add_role, let_decrypt
from vmie_tui.simulators.aws.estate import EXPORT_BUCKET, furnish
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TOKEN_HEADER, Gate, SimClock, make_tls
from vmie_tui.simulators.fleet.company import company
from vmie_tui.simulators.fleet.odd import odd
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.launch import LOCK_FILE, PROFILE_FILE, TOKEN_FILE
from vmie_tui.simulators.spec import FleetSpec
from vmie_tui.simulators.vcenter.server import VCenterSimulator

BUCKET, REGION, PREFIX = "vmie-demo-import", "eu-west-1", "vmie/"
DESK = f"{DEMO}-desk"  # the profile of the second account: one that only looks after other people's tasks
DESK_ACCOUNT, DESK_KEY, DESK_BUCKET, DESK_REGION = "444455556666", "AKIAI44QH8DHBEXAMPLE", "vmie-desk", "eu-central-1"
FEW_REGIONS, ALL_REGIONS, MANY_TASKS = 4, 20, 500
LOOK_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or idleness; 1 when ROOT is served already."""
    options = _options(arguments)
    root: Path = options.root
    os.umask(0o077)
    private_dir(root)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with PidLock(root / LOCK_FILE) as lock, ExitStack() as stack:
        if not lock.acquire():
            sys.stderr.write(f"simulators already serve {root}\n")
            return 1
        _remove_profile(root)
        tls = make_tls(root / "tls")
        vcenter, aws = _make(options, root, tls)
        stack.enter_context(vcenter)
        stack.enter_context(aws)
        aws.seed(bucket=BUCKET)
        let_decrypt(aws.account)  # the role may read what is encrypted with KMS: `encryption` is to be tried here too
        if options.history:
            _furnish(aws, options.history)
        stack.callback(_remove_profile, root)
        description = _write_profile(root, vcenter, aws)
        if options.json or options.text:
            sys.stdout.write(json.dumps(description, indent=2) + "\n" if options.json else _as_text(description))
            sys.stdout.flush()
        _wait(ended, vcenter, aws, options.idle_hours * 3600)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vmie-tui simulate", description="Simulate a vCenter and an AWS on loopback.")
    parser.add_argument("root", type=Path, help="folder for everything that is simulated")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast the AWS clock runs")
    parser.add_argument("--rate", type=int, default=0, help="bytes a second of each disk's stream, 0 for no limit")
    parser.add_argument("--scale", type=int, default=0, help="at least so many virtual machines")
    parser.add_argument("--fleet", choices=("company", "tiny", "odd"), default="company")
    parser.add_argument("--history", type=int, default=0, help="past tasks; with any, a second account and an estate")
    parser.add_argument("--idle-hours", type=float, default=0.0, help="stop after so long without a request, 0: never")
    parser.add_argument("--json", action="store_true", help="print endpoints, credentials and token once ready")
    parser.add_argument("--text", action="store_true", help="the same in lines, with the credentials' files")
    return parser.parse_args(arguments)


def _fleet(name: str, scale: int) -> FleetSpec:
    match name:
        case "odd":
            return odd()
        case "tiny":
            return tiny()
    return company(scale=scale or None)


def _make(options: argparse.Namespace, root: Path, tls: Any) -> tuple[VCenterSimulator, AwsSimulator]:
    token = Gate().token  # one for both
    # Two clocks: a fast one would let leases time out between two reports of an honest client.
    vcenter = VCenterSimulator(
        _fleet(options.fleet, options.scale),
        root / "vcenter",
        tls=tls,
        nfc_rate=options.rate or None,
        guests_clock=Clock(root / CLOCK_FILE).now,  # that of the schedules: what a day brings is there when one is over
        control_token=token,
    )
    clock = SimClock(options.speed)
    aws = AwsSimulator(root / "aws", tls=tls, region=REGION, clock=clock, control_token=token)
    return vcenter, aws


def _furnish(aws: AwsSimulator, tasks: int) -> None:
    """Instances and images to export, a second account, and a past of so many tasks, a third of it there."""
    desk = aws.add_account(DESK_ACCOUNT, DESK_KEY, region=DESK_REGION)
    desk.seed(bucket=DESK_BUCKET)
    furnish(aws, DESK_ACCOUNT)
    add_role(aws.account, "vmimport", EXPORT_BUCKET, policy="exports")
    regions = ALL_REGIONS if tasks >= MANY_TASKS else FEW_REGIONS
    aws.seed_history(tasks, regions)
    aws.seed_history(tasks // 3, regions, DESK_ACCOUNT)


def _remove_profile(root: Path) -> None:
    (root / PROFILE_FILE).unlink(missing_ok=True)


def _private(path: Path, text: str) -> Path:
    """Write a file only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    draft.replace(path)
    return path


def _write_profile(root: Path, vcenter: VCenterSimulator, aws: AwsSimulator) -> dict[str, Any]:
    """Write credentials, password and profile; what ``simulate --json`` prints."""
    ca = root / "tls" / "ca.pem"
    keys = {"aws_access_key_id": aws.access_key, "aws_secret_access_key": aws.secret_key}
    desk = aws.accounts.get(DESK_ACCOUNT)
    users = {DEMO: keys}
    if desk is not None:
        users[DESK] = {"aws_access_key_id": desk.access_key, "aws_secret_access_key": desk.secret_key}
    texts = (
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in user.items()) for name, user in users.items()
    )
    credentials = _private(root / "credentials", "\n".join(texts))
    password = _private(root / "vcenter-password", vcenter.password)
    _private(root / TOKEN_FILE, aws.gate.token)
    sections: dict[str, dict[str, Any]] = {
        "vcenter": {
            "host": vcenter.host,
            "port": vcenter.port,
            "user": vcenter.user,
            "ca_file": str(ca),
            "password_file": str(password),
        },
        "aws": {
            "profile": DEMO,
            "region": REGION,
            "endpoint_url": aws.url,
            "ca_bundle": str(ca),
            "credentials_file": str(credentials),
            "bucket": BUCKET,
            "prefix": PREFIX,
        },
    }
    text = "# Written by the simulators, removed when they stop.\n"
    tables = {f"{DEMO}.{name}": values for name, values in sections.items()}
    if desk is not None:
        theirs = {"profile": DESK, "region": DESK_REGION, "bucket": DESK_BUCKET}
        tables[f"{DESK}.aws"] = {**sections["aws"], **theirs}
    for name, values in tables.items():
        text += f"\n[profiles.{name}]\n"
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    profile = _private(root / PROFILE_FILE, text)
    return {
        "pid": os.getpid(),
        "profile": str(profile),
        "vcenter": {**sections["vcenter"], "password": vcenter.password, "thumbprint": vcenter.thumbprint},
        "aws": {**sections["aws"], **keys},
        "control": {"path": "/_sim/", "header": TOKEN_HEADER, "token": aws.gate.token},
    }


def _as_text(description: dict[str, Any]) -> str:
    vcenter, aws, control = description["vcenter"], description["aws"], description["control"]
    lines = {
        "vCenter": f"https://{vcenter['host']}:{vcenter['port']} as {vcenter['user']}",
        "its password": vcenter["password_file"],
        "AWS": f"{aws['endpoint_url']} in {aws['region']}, bucket {aws['bucket']}",
        "its credentials": f"{aws['credentials_file']}, profile {aws['profile']}",
        "authority of both": vcenter["ca_file"],
        "profile": description["profile"],
        "controls": f"{control['path']} of both, with the header {control['header']}: {control['token']}",
    }
    return "".join(f"{name + ':':18} {value}\n" for name, value in lines.items())


def _wait(ended: threading.Event, vcenter: VCenterSimulator, aws: AwsSimulator, idle_seconds: float) -> None:
    """Until ``ended``, or until no request came for so long."""
    seen, since = 0, time.monotonic()
    while not ended.wait(LOOK_SECONDS):
        count = sum(sum(simulator.stats.snapshot().values()) for simulator in (vcenter, aws))
        if count != seen:
            seen, since = count, time.monotonic()
        elif idle_seconds and time.monotonic() - since > idle_seconds:
            return
