"""EBS direct: MB/s, CPU seconds per GiB and peak memory of writing snapshots block by block, against the simulator.

    .venv/bin/python benchmarks/blocks.py [--mib 512] [--disks 1 4] [--parallel 64]

The simulator runs in a process of its own; the writers of one run are threads of one process, as in the worker, sharing
the buffers of `buffers.SHARED`. Each disk is random bytes. CPU is that of the writing process; its memory is the peak
resident size, libraries and all. On loopback simulator and writer share the machine's cores, so MB/s is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

MIB = 1 << 20
PIECE = 64 << 10  # a grain: what a host's stream gives at once


def serve(folder: str, ready: Any) -> None:
    from vmie_tui.simulators.aws.server import AwsSimulator
    from vmie_tui.simulators.control import SimClock, make_tls

    tls = make_tls(Path(folder, "tls"))
    with AwsSimulator(Path(folder, "aws"), tls=tls, clock=SimClock(1000.0)) as simulator:
        ready.send((simulator.url, str(tls.ca), simulator.access_key, simulator.secret_key))
        ready.recv()


def write(where: tuple[str, str, str], disks: int, size: int, parallel: int) -> dict[str, float]:
    """``where``: the endpoint, its authority's file, the credentials file."""
    from vmie_tui.services.aws.ebs.snapshot_writer import MemoryJournal, SnapshotTarget, SnapshotWriter
    from vmie_tui.services.aws.session import open_session
    from vmie_tui.settings import AwsSettings

    class Control:
        def check(self) -> None: ...

        def moved(self, nbytes: int, *, skipped: bool = False) -> None: ...

    url, ca, credentials = where
    aws = open_session(
        AwsSettings(region="eu-west-1", endpoint_url=url, ca_bundle=Path(ca), credentials_file=Path(credentials))
    )
    data = memoryview(random.Random(1).randbytes(16 * MIB))

    def one(number: int, size: int = size) -> None:
        target = SnapshotTarget(size, f"disk {number}")
        with SnapshotWriter(aws, None, target, journal=MemoryJournal(), control=Control(), parallel=parallel) as out:
            for at in range(0, size, PIECE):
                start = at % len(data)
                out.put(at, data[start : start + PIECE])
            out.complete()

    one(0, PIECE)  # loads what boto3 knows of the services
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    threads = [threading.Thread(target=one, args=(number,)) for number in range(disks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total = disks * size
    return {
        "disks": disks,
        "MB/s": round(total / wall / 1e6),
        "CPU s per GiB": round(cpu * (1 << 30) / total, 2),
        "peak MiB": round(after.ru_maxrss / 1024),
        "libraries MiB": round(before.ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--disks", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--parallel", type=int, default=64)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        url, ca, credentials, disks = options.child
        print(json.dumps(write((url, ca, credentials), int(disks), options.mib * MIB, options.parallel)))
        return
    with tempfile.TemporaryDirectory() as folder:
        here, there = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, there))
        server.start()
        url, ca, key, secret = here.recv()
        credentials = Path(folder, "credentials")
        credentials.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
        try:
            for disks in options.disks:
                command = [sys.executable, __file__, "--mib", str(options.mib), "--parallel", str(options.parallel)]
                subprocess.run([*command, "--child", url, ca, str(credentials), str(disks)], check=True)
        finally:
            here.send("stop")
            server.join(10)


if __name__ == "__main__":
    main()
