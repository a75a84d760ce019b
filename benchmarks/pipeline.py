"""vCenter to S3, streamed, against its own ends and against the two-step way; all in one run, on the simulators.

    .venv/bin/python benchmarks/pipeline.py [--mib 1024] [--disks 4] [--rounds 3] [--mbit 1000]

Prints MB/s, and CPU seconds per GiB of this process alone, of: the source alone (lease stream read and thrown away),
the sink alone (multipart upload from memory), the product's path (stream, SHA-256, every grain inflated, multipart
upload), the two-step way (download to disk, then boto3's upload_file); the ratios, and the peak memory of this process
for ``--disks`` disks at once. The simulators run in processes of their own, on the same cores: the ratios are what
counts, and only on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from vmie_tui.model.machine import Machine
from vmie_tui.services.aws.s3.objects import ObjectStore, UploadRequest
from vmie_tui.services.aws.session import open_session
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.settings import AwsSettings, VCenterSettings
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.spec import DiskSpec, FleetSpec

MIB = 1 << 20
PIECE = 1 << 20
BUCKET = "bench"


class Quiet:
    """A transfer that nobody stops or watches."""

    def check(self) -> None: ...

    def moved(self, nbytes: int, *, skipped: bool = False) -> None: ...


def fleet(mib: int, disks: int) -> FleetSpec:
    """One machine; each disk is twice ``mib`` large and half of it is data that hardly compresses."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            for number in range(mib):
                file.seek(number * 2 * MIB)
                file.write(random.Random(number).randbytes(MIB))
            file.truncate(mib * 2 * MIB)

    base = tiny()
    spec = DiskSpec(capacity=mib * 2 * MIB, make=make)
    return replace(base, machines=(replace(base.machines[0], name="bench", disks=(spec,) * disks),))


def serve_vcenter(root: Path, mib: int, disks: int, mbit: int, pipe: Any) -> None:
    from vmie_tui.simulators.control import make_tls
    from vmie_tui.simulators.vcenter.server import VCenterSimulator

    tls = make_tls(root / "tls-v")
    rate = mbit * 125_000 or None
    with VCenterSimulator(fleet(mib, disks), root / "v", tls=tls, nfc_prepared=True, nfc_rate=rate) as simulator:
        for key in range(disks):
            simulator.disk_path("bench", 2000 + key)
        pipe.send((simulator.host, simulator.port, simulator.user, simulator.password, tls.ca))
        pipe.recv()


def serve_aws(root: Path, pipe: Any) -> None:
    from vmie_tui.simulators.aws.server import AwsSimulator
    from vmie_tui.simulators.control import make_tls

    tls = make_tls(root / "tls-a")
    with AwsSimulator(root / "a", tls=tls, md5_etags=False) as simulator:
        simulator.seed(bucket=BUCKET)
        pipe.send((simulator.url, simulator.access_key, simulator.secret_key, tls.ca))
        pipe.recv()


def clocked(work: Callable[[], int]) -> tuple[float, float]:
    """MB/s of ``work``, which returns bytes; and what a GiB of it costs this process in seconds of CPU."""
    started, used = time.perf_counter(), time.process_time()
    size = work()
    return size / (time.perf_counter() - started) / 1e6, (time.process_time() - used) / size * (1 << 30)


class Bench:
    def __init__(self, vsphere: VSphere, machine: Machine, store: ObjectStore, client: Any, folder: Path) -> None:
        self.vsphere, self.machine, self.store, self.client, self.folder = vsphere, machine, store, client, folder
        self.view = memoryview(bytearray(PIECE))

    def source(self) -> int:
        return self._read(lambda piece: None)

    def _read(self, take: Callable[[memoryview], object]) -> int:
        total = 0
        with ExportLease(self.vsphere, self.machine.moid) as lease, lease.open(lease.disks[0]) as stream:
            while count := stream.readinto(self.view):
                take(self.view[:count])
                total += count
            lease.complete()
        return total

    def sink(self, size: int) -> int:
        left, data = size, memoryview(random.Random(1).randbytes(PIECE))

        def fill(view: memoryview) -> int:
            nonlocal left
            count = min(left, len(view), PIECE)
            view[:count] = data[:count]
            left -= count
            return count

        return self.store.upload(UploadRequest(BUCKET, "sink", size), fill, control=Quiet()).size

    def product(self, disks: int) -> int:
        from vmie_tui.services.disks.feeds.disk_feed import DiskFeed

        def move(number: int) -> int:
            disk = lease.disks[number]
            with (
                lease.open(disk) as stream,
                DiskFeed(stream, check=lease.check, on_bytes=lambda count: None, at_end=lambda sha, size: None) as feed,
            ):
                request = UploadRequest(BUCKET, f"product-{number}", disk.capacity)
                return self.store.upload(request, feed.fill, control=Quiet()).size

        with ExportLease(self.vsphere, self.machine.moid) as lease, ThreadPoolExecutor(disks) as pool:
            total = sum(pool.map(move, range(disks)))
            lease.complete()
        return total

    def two_steps(self) -> int:
        path = self.folder / "disk.vmdk"
        with path.open("wb") as file:
            total = self._read(file.write)
        self.client.upload_file(str(path), BUCKET, "two-steps")
        path.unlink()
        return total


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024, help="MiB of data on each disk")
    parser.add_argument("--disks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mbit", type=int, default=0, help="shape each disk's stream to so many Mbit/s")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmie-bench-")))
        answers = []
        for target, arguments in (
            (serve_vcenter, (folder, options.mib, options.disks, options.mbit)),
            (serve_aws, (folder,)),
        ):
            ours, theirs = context.Pipe()
            process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
            process.start()
            stack.callback(process.join, 10)
            stack.callback(ours.send, "stop")
            answers.append(ours.recv())
        (host, port, user, password, vcenter_ca), (url, access, secret, aws_ca) = answers
        credentials = folder / "credentials"
        credentials.write_text(f"[b]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
        aws = open_session(
            AwsSettings(
                profile="b", region="eu-west-1", endpoint_url=url, ca_bundle=aws_ca, credentials_file=credentials
            )
        )
        vsphere = stack.enter_context(connect(VCenterSettings(host, user, port, ca_file=vcenter_ca), password))
        machine = read_inventory(vsphere).machines[0]
        bench = Bench(vsphere, machine, ObjectStore(aws, "eu-west-1"), aws.client("s3"), folder)
        print(json.dumps(measure(bench, options), indent=2))


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    before = peak_mib()
    bench.product(options.disks)  # also warms up; measured first so that nothing else raised the peak
    memory = {"threads": threading.active_count(), "rss_before_mib": before, "rss_peak_mib": peak_mib()}
    size = bench.source()
    rates: dict[str, list[tuple[float, float]]] = {"source": [], "sink": [], "product": [], "two_steps": []}
    for _ in range(options.rounds):
        rates["source"].append(clocked(bench.source))
        rates["sink"].append(clocked(lambda: bench.sink(size)))
        rates["product"].append(clocked(lambda: bench.product(1)))
        rates["two_steps"].append(clocked(bench.two_steps))
    medians = {name: statistics.median(rate for rate, _ in values) for name, values in rates.items()}
    costs = {name: round(statistics.median(cost for _, cost in values), 2) for name, values in rates.items()}
    return {
        "stream_bytes": size,
        "mb_per_s": {name: round(value) for name, value in medians.items()},
        "our_cpu_s_per_gib": costs,
        "product_to_min_of_source_and_sink": round(medians["product"] / min(medians["source"], medians["sink"]), 2),
        "product_to_two_steps": round(medians["product"] / medians["two_steps"], 2),
        f"memory_{options.disks}_disks_at_once": memory,
    }


if __name__ == "__main__":
    main()
