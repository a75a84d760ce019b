"""Nothing secret is written: every secret of a run is a mark, and everything that was written is searched for them.

The jobs end in each way a job can: done, failed, crashed by a bug whose message holds the secrets, paused by a login
that has ended. Searched are the state folder with its databases and their logs, the cache, bundles, crash reports,
what the commands print, and what the system shows of the worker: its command line and environment.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest

from tests.kits.job_world import World
from tests.kits.waiting import wait_until
from vmie_tui import cli
from vmie_tui import settings as settings_module
from vmie_tui.exit_codes import EXIT_FAILED
from vmie_tui.jobs.engine.polling import INTERVAL_VARIABLE, POLL_VARIABLE
from vmie_tui.jobs.engine.worker_process import stop_worker, worker_pid
from vmie_tui.model.plan import LegacyInstance, Route
from vmie_tui.model.task import JobState
from vmie_tui.operations.jobs import Jobs
from vmie_tui.settings import Settings
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import Fault, SimClock, TlsFiles
from vmie_tui.simulators.fleet.tiny import tiny
from vmie_tui.simulators.vcenter.server import VCenterSimulator

REGION, BUCKET = "eu-west-1", "marked-import-bucket"
PASSWORD = 'MARKpw-"quoted\\ and/ü'
SECRETS = {
    "vCenter password": PASSWORD,
    "AWS secret key of the user": "MARKuser/secret+key/0123456789abcdefghij",
    "single sign-on token": "MARKssotoken-0123456789",
    "password in a URL": "MARKproxypw",
}
# The worker's interpreter runs this first: a bug in the middle of an upload, whose words hold every secret there is.
BUG = """
import logging, os, threading
from vmie_tui.services.aws.s3 import objects
upload = objects.ObjectStore.upload

def broken(self, request, *rest, **more):
    if "odd-size-01" not in request.key:
        return upload(self, request, *rest, **more)
    words = " | ".join([{password!r}, *(os.environ[name] for name in {names!r})])
    logging.getLogger("vmie_tui.bug").warning("logged: %s", words)
    def fall():
        raise ValueError("in a thread: " + words)
    thread = threading.Thread(target=fall)
    thread.start()
    thread.join()
    raise RuntimeError("provoked: " + words)

objects.ObjectStore.upload = broken
"""
NAMES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OP_SESSION_CORP", "CORP_PROXY")


class Marked(World):
    """A world of its own, in this process, whose secrets are marks."""

    def __init__(self, settings: Settings, aws: AwsSimulator, secrets: dict[str, str]) -> None:
        self.settings, self.simulator, self.secrets = settings, aws, secrets
        self.client = Jobs(settings)


@pytest.fixture
def marked(tls: TlsFiles, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Marked]:
    clock = SimClock(1000)
    vcenter = VCenterSimulator(tiny(), tmp_path / "vcenter", tls=tls, password=PASSWORD)
    aws = AwsSimulator(
        tmp_path / "aws", tls=tls, region=REGION, clock=clock, secret_key=SECRETS["AWS secret key of the user"]
    )
    with vcenter, aws:
        aws.seed(bucket=BUCKET)
        keys = _temporary_keys(aws, tls)
        script = tmp_path / "ask-the-vault"
        script.write_text(f"import sys; sys.stdout.buffer.write({PASSWORD!r}.encode()); sys.stderr.write('MARKnoise')")
        (tmp_path / "first").mkdir()
        (tmp_path / "first" / "sitecustomize.py").write_text(BUG.format(password=PASSWORD, names=NAMES))
        Path(os.environ["VMIE_CONFIG_FILE"]).write_text(_config(vcenter, aws, tls, script))
        for name, value in {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
            "OP_SESSION_CORP": SECRETS["single sign-on token"],
            "CORP_PROXY": f"http://me:{SECRETS['password in a URL']}@proxy.corp:3128",
            "PYTHONPATH": str(tmp_path / "first"),
            INTERVAL_VARIABLE: "0.1",
            POLL_VARIABLE: "0.15",
        }.items():
            monkeypatch.setenv(name, value)
        secrets = {**SECRETS, "AWS secret key": keys["SecretAccessKey"], "session token": keys["SessionToken"]}
        world = Marked(settings_module.load("prod"), aws, secrets)
        yield world
        stop_worker(world.settings)
        world.client.close()


def _temporary_keys(aws: AwsSimulator, tls: TlsFiles) -> dict[str, str]:
    sts = boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=aws.url,
        verify=str(tls.ca),
        aws_access_key_id=aws.access_key,
        aws_secret_access_key=aws.secret_key,
    )
    answer = sts.assume_role(RoleArn=f"arn:aws:iam::{aws.account}:role/admin", RoleSessionName="mover")
    keys: dict[str, str] = answer["Credentials"]
    return keys


def _config(vcenter: VCenterSimulator, aws: AwsSimulator, tls: TlsFiles, script: Path) -> str:
    return f"""
default_profile = "prod"
[profiles.prod.vcenter]
host = "{vcenter.host}"
port = {vcenter.port}
user = "{vcenter.user}"
ca_file = "{tls.ca}"
password_command = ["{sys.executable}", "{script}"]
[profiles.prod.aws]
region = "{REGION}"
endpoint_url = "{aws.url}"
ca_bundle = "{tls.ca}"
bucket = "{BUCKET}"
"""


def shapes(secret: str) -> set[bytes]:
    """How a secret may have been written."""
    forms = {secret, repr(secret)[1:-1], quote(secret, safe=""), quote(secret), secret.replace('"', '\\"')}
    forms |= {secret.encode("ascii", "backslashreplace").decode(), secret.encode("unicode_escape").decode()}
    return {form.encode() for form in forms} | {secret.encode("utf-16-le")}


def found_in(data: bytes, secrets: dict[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if any(form in data for form in shapes(secret))]


def written(*folders: Path) -> dict[str, bytes]:
    """Every file there is, those inside zips too."""
    files: dict[str, bytes] = {}
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        files[str(path)] = data
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(path) as archive:
                files.update({f"{path}!{name}": archive.read(name) for name in archive.namelist()})
    return files


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The test below can fail: each shape is found, in a zip too."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", repr({"p": PASSWORD}))
    assert [name for name, data in written(tmp_path).items() if found_in(data, SECRETS)] == [f"{tmp_path}/x.zip!a"]
    for form in shapes(PASSWORD):
        assert found_in(b"x" + form + b"y", SECRETS) == ["vCenter password"]


def test_no_secret_is_written_anywhere(
    marked: Marked, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = marked.simulator.faults
    faults.add(Fault("ImportImage", "fail-task", code="E10", match="db-01"))
    faults.add(Fault("UploadPart", "expired-token", match="empty-disk-01"))
    instance = replace(marked.plan("web-02"), route=Route.INSTANCE, legacy=LegacyInstance("m3.medium"))
    done = [marked.submit("web-01"), marked.client.submit(instance)]
    crashed, failed, waiting = (marked.submit(name) for name in ("odd-size-01", "db-01", "empty-disk-01"))
    pid = worker_pid(marked.settings.state_dir)
    assert pid
    shown = {name: Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")}
    assert b"PATH=" in shown["environ"] and b"secrets-from-stdin" in shown["cmdline"]
    for job_id in done:
        marked.wait(job_id, timeout=120)
    view = marked.wait(crashed, JobState.FAILED)
    assert view.problem is not None and "RuntimeError" in view.problem.what
    view = marked.wait(failed, JobState.FAILED)
    assert view.problem is not None and "RuntimeError" not in view.problem.what
    marked.wait(waiting, JobState.NEEDS_LOGIN)
    for number, job_id in enumerate((done[1], crashed, failed, waiting)):
        out = tmp_path / "bundles" / f"{number}.zip"
        out.parent.mkdir(exist_ok=True)
        assert cli.main(["bundle", job_id, "--history", "--output", str(out)]) == 0
        assert cli.main(["job", job_id, "--json"]) == 0
    _crash_a_command(marked, monkeypatch)
    printed = "".join(capfd.readouterr())
    assert wait_until(lambda: list(marked.settings.log_dir.glob("crash-*")), what="a crash report")

    home = Path(os.environ["HOME"])
    config = Path(os.environ["VMIE_CONFIG_FILE"])
    files = written(home, tmp_path / "bundles", marked.settings.state_dir)
    names = " ".join(files)
    for expected in ("vmie.db", "vmie.db-wal", "history.db", "worker.log", "engine.log", "crash-", ".zip!job.log"):
        assert expected in names, names
    texts = b"".join(files.values())
    assert b"provoked: " in texts and b"in a thread: " in texts and b"logged: " in texts  # the bug did leave traces
    everything = {**files, **{f"/proc/{name}": data for name, data in shown.items()}, "printed": printed.encode()}
    secrets = {**marked.secrets, "what the command complained": "MARKnoise"}
    leaks = {name: found for name, data in everything.items() if (found := found_in(data, secrets))}
    assert leaks == {}
    assert str(config) in files and "password_command" in config.read_text()
    open_to_others = [
        str(path)
        for path in (marked.settings.state_dir, *marked.settings.state_dir.rglob("*"))
        if stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]
    assert not open_to_others


def _crash_a_command(marked: Marked, monkeypatch: pytest.MonkeyPatch) -> None:
    words = " ".join(marked.secrets.values())

    def fall(*_: object, **__: object) -> None:
        raise RuntimeError(f"provoked: {words}")

    with monkeypatch.context() as patched:
        patched.setattr(Jobs, "jobs", fall)
        assert cli.main(["jobs"]) == EXIT_FAILED
