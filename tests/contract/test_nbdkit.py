"""The simulated /folder as nbdkit's curl plugin reads it, which is how virt-v2v reads a machine's disks.

Debian's nbdkit and qemu-img; without them these tests are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.kits.pyvmomi_client import QUICK
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.fleet.odd import STORES, odd
from vmie_tui.simulators.vcenter.server import VCenterSimulator

NEEDED = ("nbdkit", "qemu-img", "curl")
MISSING = [name for name in NEEDED if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
# As virt-v2v gets its cookie: one request with the password, whose answer holds it.
SCRIPT = "curl --silent --head --cacert {ca} --user {user} {url} | sed -n 's/^[Ss]et-[Cc]ookie: *\\([^;]*\\);.*/\\1/p'"


@pytest.fixture(scope="module")
def sim(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VCenterSimulator]:
    with VCenterSimulator(odd(), tmp_path_factory.mktemp("sim"), tls=tls, **QUICK) as sim:
        yield sim


def twice(text: str) -> str:
    """As virt-v2v has quoted both names since 2026."""
    return quote(quote(text, safe=""), safe="")


@pytest.mark.parametrize(("number", "store"), list(enumerate(STORES)))
def test_reads_a_disk_with_a_cookie_script(sim: VCenterSimulator, tmp_path: Path, number: int, store: str) -> None:
    name = f"off {number}+1"
    path = quote(f"{name}/{name}-flat.vmdk")
    url = f"https://localhost:{sim.port}/folder/{path}?dcPath={twice('EU/DC1')}&dsName={twice(store)}"
    script = SCRIPT.format(ca=sim.tls.ca, user=f"'{sim.user}:{sim.password}'", url=f"'{url}'")
    made = tmp_path / "disk"
    options = ["cookie-script=" + script, "cookie-script-renew=60", f"cainfo={sim.tls.ca}", "protocols=https"]
    copy = f'qemu-img convert -f raw -O raw "$uri" {made}'
    done = subprocess.run(
        ["nbdkit", "--readonly", "--exit-with-parent", "-U", "-", "curl", f"url={url}", *options, "--run", copy],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert made.read_bytes() == sim.disk_path(name, 2000).read_bytes()


def test_a_wrong_password_opens_nothing(sim: VCenterSimulator, tmp_path: Path) -> None:
    url = f"https://localhost:{sim.port}/folder/a/a-flat.vmdk?dcPath=EU%2FDC1&dsName=x"
    words = ["curl", "--silent", "--cacert", str(sim.tls.ca), "--user", f"{sim.user}:no", "-o", "/dev/null"]
    done = subprocess.run([*words, "-w", "%{http_code}", url], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "401"
