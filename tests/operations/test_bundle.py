"""Bundles for tickets: what is in them, and that nothing secret is, in whatever shape it was written."""

from __future__ import annotations

import base64
import json
import stat
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui import cli
from vmie_tui import known_secrets as remembered
from vmie_tui.jobs.store.store import Store
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.formatting import duration, one_line
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.rules.secrets import redacted
from vmie_tui.model.task import JobState, Task, TaskDisk, TaskKind
from vmie_tui.operations.bundle import known_secrets, tail, versions, write_bundle
from vmie_tui.services.task_history import History
from vmie_tui.settings import load

MARK = "MARKED"  # stands in every secret below, and in nothing else
VCENTER = f'{MARK}"vc\\enter pass/word'
KEY_ID, KEY, TOKEN = f"AKIA{MARK}ABCDEFGHIJ", f"{MARK}/secret+key/0123456789abcdefghijklmno", f"{MARK}sessiontoken=="
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CONFIG = """
default_profile = "prod"
[profiles.prod.vcenter]
host = "vcenter.corp"
user = "svc"
password_file = "{folder}/vc.password"
[profiles.prod.aws]
region = "eu-west-1"
credentials_file = "{folder}/credentials"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remembered, "_words", {})
    monkeypatch.setattr(remembered, "_secrets", {})
    (tmp_path / "vc.password").write_text(VCENTER + "\n")
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {KEY}\naws_session_token={TOKEN}\n"
    )
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path))
    monkeypatch.setenv("VMIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("VMIE_CONFIG_FILE", str(tmp_path / "config.toml"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{MARK}-from-environment")
    return tmp_path


LEAKS = (
    f"login with {VCENTER} failed",
    f"key {KEY_ID} and {KEY}",
    f"https://b.s3.amazonaws.com/k?X-Amz-Credential={MARK}%2F2026&X-Amz-Signature={MARK}&partNumber=7",
    f"postgresql://user:{MARK}@db.corp/vmie",
    f"password: {MARK}pw",
    f'{{"vcenter_password": "{MARK} with \\" quote", "token" : "{MARK}"}}',
    f"Cookie: vmware_soap_session={MARK}; Path=/",
    f"Authorization: AWS4-HMAC-SHA256 Credential={MARK}/20261121, Signature={MARK}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{MARK}\n{MARK}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{MARK}",
    f"{MARK}-from-environment",
)


@pytest.mark.parametrize("leak", LEAKS)
def test_each_shape_of_a_secret_is_taken_out(leak: str, folder: Path) -> None:
    text = redacted(f"before {leak}", known_secrets(load()))
    assert MARK not in text and text.startswith("before ") and "[redacted]" in text


MIXED = 'Tr0ub4dor&3<x> "%'
FORMS = (
    MIXED,
    escape(MIXED),
    quote(MIXED, safe=""),
    json.dumps(MIXED)[1:-1],
    "Tr0ub4dor&amp;3%3Cx\\u003e+&quot;%25",  # each character in another way
    "Tr0ub4dor\\u00263&lt;x&#62;%20\\x22%",
)
BASIC = base64.b64encode(f"svc:{MIXED}".encode()).decode()


@pytest.mark.parametrize("form", FORMS)
def test_a_bundle_and_a_crash_report_hide_every_form(form: str, folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "vc.password").write_text(MIXED + "\n")
    files = {"a.txt": f"said {form} end", "b.json": {f"said {form} end": [{"x": f"said {form} end"}]}}
    write_bundle(folder / "b.zip", files, known_secrets(load()))
    with zipfile.ZipFile(folder / "b.zip") as archive:
        assert archive.read("a.txt").decode() == "said [redacted] end"
        assert json.loads(archive.read("b.json")) == {"said [redacted] end": [{"x": "said [redacted] end"}]}
    write_bundle(folder / "c.zip", {"a.txt": f"Basic {BASIC}", "b.json": [BASIC]}, [MIXED])
    with zipfile.ZipFile(folder / "c.zip") as archive:
        for name in archive.namelist():
            assert BASIC[8:-2] not in archive.read(name).decode()  # the name before it is no secret
    remembered._secrets.clear()  # a crash before any password was read
    report = cli._crash_file(RuntimeError(f"said {form} end")).read_text()
    assert "said [redacted] end" in report and form not in report


@pytest.mark.parametrize("secret", ["abc", "a&b", "x9"])
def test_a_short_secret_of_a_file_is_hidden_where_it_stands_alone(secret: str, folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "vc.password").write_text(secret)
    text = f"password is {escape(secret)}, {secret}; xabcx and x9x stay"
    write_bundle(folder / "b.zip", {"a.txt": text, "b.json": {"n": 12, "t": text}}, known_secrets(load()))
    with zipfile.ZipFile(folder / "b.zip") as archive:
        assert archive.read("a.txt").decode() == "password is [redacted], [redacted]; xabcx and x9x stay"
        assert json.loads(archive.read("b.json"))["n"] == 12
    assert "[redacted], [redacted];" in cli._crash_file(RuntimeError(text)).read_text()


def test_what_is_no_secret_stays() -> None:
    text = (
        "task import-ami-0123456789abcdef0 of s3://bucket/vms/web-01.vmdk: ClientError: Unknown OS / Missing OS files."
    )
    assert redacted(text) == text
    assert redacted("https://b.s3.amazonaws.com/key?X-Amz-Expires=1&partNumber=7").endswith("&partNumber=7")


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=4, max_size=30), st.text(max_size=50))
def test_a_known_secret_never_gets_out(secret: str, around: str) -> None:
    assert secret not in redacted(f"{around}{secret}{around}", [secret]).replace("[redacted]", "")


def job(folder: Path) -> str:
    store = Store(folder / "state", None)
    plan = ImportPlan("prod", VmSource("vcenter.corp", "vm-1", "web-01"), "eu-west-1", "bucket", description=LEAKS[4])
    job_id = store.create(plan)
    for leak in LEAKS:
        store.log(job_id, leak)
    store.become(job_id, JobState.RUNNING)
    problem = Problem(
        ErrorKind.REMOTE, "cannot import", "web-01", detail=f"ClientError: Disk validation failed {LEAKS[1]}"
    )
    store.become(job_id, JobState.FAILED, problem=problem.to_json())
    store.close()
    return job_id


def task(folder: Path, **change: object) -> Task:
    failed = Task(
        TaskKind.IMPORT_IMAGE,
        "import-ami-0123456789abcdef0",
        "deleted",
        str(facts.error("E15")["message"]) if "message" in facts.error("E15") else "ClientError",
        None,
        f"web {LEAKS[4]}",
        "eu-west-1",
        disks=(TaskDisk("VMDK", "bucket", "vms/web.vmdk"),),
        tags={"note": LEAKS[1]},
        raw={"Url": LEAKS[2], "Text": [LEAKS[0], *LEAKS]},
    )
    history = History(folder / "state")
    history.record("prod", [Task(TaskKind.IMPORT_IMAGE, failed.id, "active", "pending", 0, region="eu-west-1")], NOW)
    history.record("prod", [failed], NOW + timedelta(minutes=9))
    history.close()
    return failed


def content(path: Path) -> dict[str, str]:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_bundle_of_a_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ident = task(folder).id
    (folder / "state" / "log").mkdir()
    (folder / "state" / "log" / "worker.log").write_text("\n".join(LEAKS))
    assert cli.main(["bundle", ident, "--history", "--output", str(folder / "out.zip")]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "out.zip")
    files = content(folder / "out.zip")
    assert set(files) == {"versions.json", "settings.json", "task.json", "task.md", "explanation.json", "worker.log"}
    assert not [name for name, text in files.items() if MARK in text]
    data = json.loads(files["task.json"])
    assert data["id"] == ident and [change["phase"] for change in data["changes"]] == ["pending", "deleted"]
    assert data["phases"][0]["seconds"] == 540 and data["disks"][0]["key"] == "vms/web.vmdk"
    assert json.loads(files["explanation.json"])["known"]
    assert "## Timeline" in files["task.md"] and "Remedy" in files["task.md"]
    assert json.loads(files["versions.json"])["vmie-tui"]


def test_a_bundle_of_a_job(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = job(folder)
    assert cli.main(["bundle", job_id, "--history", "--output", str(folder / "out.zip"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(folder / "out.zip")
    files = content(folder / "out.zip")
    assert {"job.json", "plan.json", "job.log", "explanation.json"} <= set(files)
    assert not [name for name, text in files.items() if MARK in text]
    assert json.loads(files["job.json"])["id"] == job_id and "cannot import" in files["job.json"]
    assert len(files["job.log"].splitlines()) >= len(LEAKS)


def test_a_file_that_is_there_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out.zip").write_text("mine")
    assert cli.main(["bundle", "--output", str(folder / "out.zip")]) == 1
    assert (folder / "out.zip").read_text() == "mine" and "--force" in capsys.readouterr().err
    assert cli.main(["bundle", "--output", str(folder / "out.zip"), "--force"]) == 0
    assert "versions.json" in content(folder / "out.zip")


def test_a_task_nobody_saw(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bundle", "import-ami-0fffffffffffffff0", "--history"]) == 1
    assert "AWS knows no such task" in capsys.readouterr().err
    assert not list(folder.glob("*.zip"))


def test_the_end_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("first line\nsecond line\nthird\n")
    assert tail(tmp_path / "log", 15) == "third\n"
    assert tail(tmp_path / "log") == "first line\nsecond line\nthird\n"
    assert tail(tmp_path / "none") == ""


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError):
        write_bundle(tmp_path / "no such folder" / "x.zip", {"a": "b"}, [])
    assert versions()["boto3"] != "not installed"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_texts_of_others_stay_on_their_line() -> None:
    assert one_line("a\x1b[31mb\nc\u202ed") == "a [31mb c d"
