"""A simulated AWS and the session the services use on it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vmie_tui.services.aws.ebs.snapshot_writer import MemoryJournal, SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.ec2 import images
from vmie_tui.services.aws.ec2.images import RegisterDisk, RegisterRequest
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.multipart import MIB
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import SimClock, TlsFiles

BUCKET = "amzn-s3-demo-import-bucket"
REGION = "eu-west-1"
PART = 5 * MIB
World = tuple[AwsSimulator, Aws]


def settings_for(simulator: AwsSimulator, tls: TlsFiles, folder: Path, secret: str | None = None) -> AwsSettings:
    """Settings that reach the simulator, with credentials in a file as the demo has them."""
    credentials = folder / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {simulator.access_key}\n"
        f"aws_secret_access_key = {secret or simulator.secret_key}\n"
    )
    return AwsSettings(
        region=REGION, endpoint_url=simulator.url, ca_bundle=tls.ca, credentials_file=credentials, bucket=BUCKET
    )


@contextmanager
def world(tls: TlsFiles, folder: Path) -> Iterator[World]:
    with AwsSimulator(folder / "aws", tls=tls, region=REGION, clock=SimClock()) as simulator:
        simulator.seed(bucket=BUCKET)
        aws = open_session(settings_for(simulator, tls, folder))
        try:
            yield simulator, aws
        finally:
            aws.close()


def store_for(aws: Aws, **options: object) -> ObjectStore:
    """An ObjectStore with the smallest parts S3 takes, so that tests stay small, and a budget of its own."""
    defaults = {"budget": BufferBudget(8 * PART), "part_size": lambda size: PART}
    return ObjectStore(aws, REGION, **{**defaults, **options})  # type: ignore[arg-type]


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class Source:
    """A stream of known bytes as ``fill`` wants it; ``step`` limits what one call gives."""

    def __init__(self, data: bytes, step: int = 1 << 30) -> None:
        self.data, self.step, self.at = data, step, 0

    def __call__(self, view: memoryview) -> int:
        piece = self.data[self.at : self.at + min(len(view), self.step)]
        view[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


class Control:
    """Counts what was sent; ``stop_after`` bytes it raises ``error``."""

    def __init__(self, stop_after: int | None = None, error: Exception | None = None) -> None:
        self.sent_bytes = self.skipped_bytes = self.asked = 0
        self.stop_after, self.error = stop_after, error

    def check(self) -> None:
        self.asked += 1
        if self.error and self.stop_after is not None and self.sent_bytes >= self.stop_after:
            raise self.error

    def moved(self, nbytes: int, *, skipped: bool = False) -> None:
        if skipped:
            self.skipped_bytes += nbytes
        else:
            self.sent_bytes += nbytes


def register(world: World, name: str, data: bytes, **more: Any) -> str:
    """An AMI of two disks that hold ``data``."""
    simulator, session = world
    with SnapshotWriter(session, REGION, SnapshotTarget(len(data)), journal=MemoryJournal(), control=Control()) as out:
        out.put(0, memoryview(data))
        simulator.clock.speed = 500.0
        ident = out.complete().snapshot_id
        simulator.clock.speed = 1.0
    disks = (RegisterDisk(ident), RegisterDisk(ident))
    return images.register_image(session, REGION, RegisterRequest(name, disks, **more)).id
