"""``doctor --live``: what it says of simulators that are well and of those with a fault, and that nothing stays."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote_plus

import pytest

from tests.kits.aws_world import BUCKET
from tests.kits.clinic import Clinic, clinic
from tests.kits.vcenter_session import simulator
from vmie_tui.model.machine import Machine
from vmie_tui.services.aws.s3 import sender_pool
from vmie_tui.services.aws.session import PARTS
from vmie_tui.services.doctor import live as live_module
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.doctor.live import (
    ASSUMPTIONS,
    STEPS,
    Live,
    LiveReport,
    Outcome,
    Placeholders,
    Saw,
    Step,
    encoded_twice,
)
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.simulators.control import Fault, TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator

PAGE = Path(__file__).parents[3] / "docs" / "unproven.md"
BAD = (Saw.DIFFERED, Saw.BLOCKED)


@pytest.fixture(scope="module")
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VCenterSimulator, Clinic]]:
    """A vCenter and an account that doctor set up; the account's tasks take no time."""
    with (
        simulator(tmp_path_factory.mktemp("vcenter"), tls) as vcenter,
        clinic(tls, tmp_path_factory.mktemp("aws"), vcenter) as ward,
    ):
        ward.cure()
        ward.aws.clock.speed = 600
        yield vcenter, ward


@pytest.fixture
def ward(site: tuple[VCenterSimulator, Clinic], monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    vcenter, made = site
    monkeypatch.setattr(sender_pool, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(sender_pool, "ATTEMPTS", 3)
    monkeypatch.setattr(live_module, "LATE_SECONDS", 0.0)
    made.patient.forget()
    yield made
    vcenter.faults.clear()
    made.aws.faults.clear()
    assert left_behind(vcenter, made) == []


def left_behind(vcenter: VCenterSimulator, made: Clinic) -> list[Any]:
    """Whatever a run could leave: vSphere snapshots, leases, tracking, objects, uploads, EBS snapshots."""
    s3, ec2 = made.client("s3"), made.client("ec2")
    found: list[Any] = []
    for name in ("web-01", "repl-01"):
        machine = vcenter.machine(name)
        found += [*machine.roots, *([machine.lease] if machine.lease else []), *(["cbt"] if machine.cbt else [])]
    found += s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    found += s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    tagged = [{"Name": "tag-key", "Values": [live_module.MARK]}]
    return found + ec2.describe_snapshots(OwnerIds=["self"], Filters=tagged)["Snapshots"]


def find(name: str) -> Callable[[VSphere], Machine]:
    return lambda vsphere: next(one for one in read_inventory(vsphere).machines if one.name == name)


def run(
    patient: Patient, name: str = "", ask: Callable[[Step, str], bool] | None = None, said: list[str] | None = None
) -> LiveReport:
    words = [] if said is None else said
    with Live(patient, find(name) if name else None, ask=ask, say=words.append) as live:
        return live.run()


def only(*steps: str) -> Callable[[Step, str], bool]:
    return lambda step, does: bool(does) and step.id in steps


def saw(report: LiveReport, ident: str) -> list[tuple[Saw, str]]:
    return [(one.saw, one.seen) for step in report.steps for one in step.findings if one.id == ident]


def outcomes(report: LiveReport) -> dict[str, Outcome]:
    return {step.id: step.outcome for step in report.steps}


def test_the_page_names_each_step_and_each_assumption() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for step in STEPS:
        assert f"| `{step.id}` |" in page, step.id
    rows = page.partition("## By a step")[2].partition("## By real work")[0]
    listed = set(re.findall(r"`([a-z0-9]+\.[a-z-]+)`", rows))
    assert listed == set(ASSUMPTIONS)


def test_everything_holds_and_the_report_names_nobody(site: tuple[VCenterSimulator, Clinic], ward: Clinic) -> None:
    vcenter, _ = site
    report = run(ward.patient, "repl-01")
    bad = [(one.id, one.seen) for step in report.steps for one in step.findings if one.saw in BAD]
    assert (bad, report.clean) == ([], True)
    assert set(outcomes(report).values()) == {Outcome.DONE}
    assert saw(report, "folder.running") == [(Saw.HELD, "by vCenter")]
    assert [words for _, words in saw(report, "cbt.change-id")][1].startswith("tracking is on, 2 of 2")
    text = json.dumps(report.to_json())
    for name in ("repl-01", vcenter.host, BUCKET, ward.aws.account, "arn:aws", vcenter.user, "snap-"):
        assert name not in text, name
    tried = {one.id for step in report.steps for one in step.findings}
    assert set(ASSUMPTIONS) - tried == set()


def test_a_read_only_profile_changes_nothing_and_says_what_it_left_out(
    site: tuple[VCenterSimulator, Clinic], ward: Clinic
) -> None:
    vcenter, _ = site
    vcenter.stats.reset()
    ward.aws.stats.reset()
    with Patient(replace(ward.patient.profile, read_only=True), Path(), password=lambda: vcenter.password) as patient:
        report = run(patient, "web-01")
    skipped = {step.id: step.why for step in report.steps if step.outcome is Outcome.SKIPPED}
    assert set(skipped) == {"lease", "tracking", "object", "block", "import"}
    assert all("read-only" in why for why in skipped.values())
    assert saw(report, "folder.read")[0][0] is Saw.HELD
    sent = {*vcenter.stats.snapshot(), *ward.aws.stats.snapshot()}
    assert not [name for name in sent if re.search("Create(Snap|Multi)|Export|Start|Put|Upload|Delete|Import", name)]


def test_without_vcenter_or_bucket_the_rest_is_tried(ward: Clinic) -> None:
    profile = ward.patient.profile
    bare = replace(profile, vcenter=None, aws=replace(profile.aws, bucket=""))
    with Patient(bare, Path()) as patient:
        report = run(patient, "web-01")
    done = {name for name, outcome in outcomes(report).items() if outcome is Outcome.DONE}
    assert done == {"sign-in", "block", "role"}
    assert saw(report, "role.bucket") == [(Saw.UNSEEN, "the profile has no bucket")]


def test_no_and_an_interrupt_at_the_question_skip_a_step(ward: Clinic) -> None:
    def ask(step: Step, does: str) -> bool:
        if step.id == "block":
            raise KeyboardInterrupt
        return step.id == "role"

    report = run(ward.patient, ask=ask)
    assert [step.id for step in report.steps if step.outcome is Outcome.DONE] == ["sign-in", "role"]
    assert not report.interrupted


V, A = "vcenter", "aws"
DENIED = {"code": "AccessDenied", "message": "Access Denied", "status": 403, "times": None}


@pytest.mark.parametrize(
    ("step", "side", "fault", "ident", "words"),
    [
        ("lease", V, Fault("nfc:GET", "lose-lease", after=100_000), "lease.bytes", "lease was lost"),
        ("lease", V, Fault("nfc:GET", "truncate", after=100_000), "lease.bytes", "before its own end mark"),
        ("lease", V, Fault("nfc:GET", "reset", after=100_000), "lease.bytes", "broke off"),
        ("lease", V, Fault("ExportVm", "lease-error"), "lease.ready", "starting the export failed"),
        ("snapshot", V, Fault("CreateSnapshot_Task", "task-error"), "snapshot.made", "general system error"),
        ("snapshot", V, Fault("RemoveSnapshot_Task", "task-error"), "snapshot.removed", "general system error"),
        ("tracking", V, Fault("ReconfigVM_Task", "task-error"), "cbt.enable", "general system error"),
        ("snapshot", V, Fault("folder:GET", "error", status=404, times=None), "folder.read", "no flat file"),
        ("object", A, Fault("UploadPart", code="BadDigest", status=400, times=None), "s3.upload", "upload part"),
        ("object", A, Fault("CreateMultipartUpload", **DENIED), "s3.upload", "Access Denied"),
        ("object", A, Fault("HeadBucket", code="NoSuchBucket", status=404), "s3.bucket", "does not exist"),
        ("block", A, Fault("StartSnapshot", **DENIED), "ebs.upload", "Access Denied"),
        ("block", A, Fault("PutSnapshotBlock", **DENIED), "ebs.complete", "Access Denied"),
        ("import", A, Fault("ImportImage", code="UnauthorizedOperation", status=403), "import.image", "dry run"),
        ("role", A, Fault("GetRole", code="NoSuchEntity", status=404, times=None), "role.trust", "no role vmimport"),
    ],
    ids=lambda value: f"{value.operation}-{value.code or value.action}" if isinstance(value, Fault) else "",
)
def test_a_fault_is_named(
    site: tuple[VCenterSimulator, Clinic], ward: Clinic, step: str, side: str, fault: Fault, ident: str, words: str
) -> None:
    (site[0] if side == V else ward.aws).faults.add(fault)
    report = run(ward.patient, "web-01" if side == V else "", only(step))
    assert fault.fired
    assert [seen for how, seen in saw(report, ident) if how in BAD and words in seen], report.to_json()
    assert not report.clean


@pytest.mark.parametrize(
    ("trouble", "calm", "ident", "words"),
    [
        ("lock-owner", "no-lock-owner", "folder.read", "the VM's host served it with a ticket"),
        ("refuse-cbt", "allow-cbt", "cbt.enable", ""),
    ],
)
def test_trouble_of_a_host_is_named(
    site: tuple[VCenterSimulator, Clinic], ward: Clinic, trouble: str, calm: str, ident: str, words: str
) -> None:
    vcenter, _ = site
    vcenter.trouble.make({"vm": "repl-01", "kind": trouble})
    try:
        report = run(ward.patient, "repl-01", only("snapshot", "tracking"))
    finally:
        vcenter.trouble.make({"vm": "repl-01", "kind": calm})
    assert [seen for how, seen in saw(report, ident) if how is Saw.DIFFERED and words in seen], report.to_json()


def test_files_without_a_date_are_named(site: tuple[VCenterSimulator, Clinic], ward: Clinic) -> None:
    vcenter, _ = site
    vcenter.options.folder_dates = False
    try:
        report = run(ward.patient, "web-01", only("snapshot"))
    finally:
        vcenter.options.folder_dates = True
    assert saw(report, "folder.dates")[0][0] is Saw.DIFFERED
    assert saw(report, "folder.if-range")[0][0] is Saw.UNSEEN


def test_a_server_that_names_no_checksum_is_told(ward: Clinic) -> None:
    def strip(parsed: dict[str, Any], **_: Any) -> None:
        parsed.pop("ChecksumCRC64NVME", None)

    clients = [ward.patient.aws().client(service) for service in ("s3", PARTS)]
    events = [f"after-call.s3.{name}" for name in ("UploadPart", "CompleteMultipartUpload", "HeadObject")]
    for client in clients:
        for event in events:
            client.meta.events.register_first(event, strip)
    try:
        report = run(ward.patient, ask=only("object"))
    finally:
        for client in clients:
            for event in events:
                client.meta.events.unregister(event, strip)
    assert [saw(report, ident)[0][0] for ident in ("s3.part-echo", "s3.object-echo")] == [Saw.DIFFERED] * 2
    assert saw(report, "s3.read")[0][0] is Saw.HELD


def test_a_versioned_bucket_is_noted_and_its_version_removed(ward: Clinic) -> None:
    s3 = ward.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    report = run(ward.patient, ask=only("object"))
    assert saw(report, "s3.gone") == [(Saw.HELD, "with its version")]
    listed = s3.list_object_versions(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    assert not listed.get("Versions") and not listed.get("DeleteMarkers")


def test_what_cannot_be_removed_is_said_with_its_name_to_the_user_alone(ward: Clinic) -> None:
    ward.aws.faults.add(Fault("DeleteObject", **DENIED))
    said: list[str] = []
    report = run(ward.patient, ask=only("object"), said=said)
    ward.aws.faults.clear()
    [left] = next(step.left for step in report.steps if step.id == "object")
    assert left.startswith("the object: ") and BUCKET not in left and f"s3://{BUCKET}/" in said[0]
    [stays] = ward.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert stays["Key"] in said[0]
    ward.client("s3").delete_object(Bucket=BUCKET, Key=stays["Key"])


def test_answers_that_were_asked_for_again_are_noted(ward: Clinic) -> None:
    ward.aws.faults.add(Fault("StartSnapshot", code="RequestThrottledException", status=400, times=2))
    ward.aws.faults.add(Fault("DescribeSnapshots", code="RequestLimitExceeded", status=503, times=1))
    report = run(ward.patient, ask=only("block"))
    noted = {seen for how, seen in saw(report, "noted") if how is Saw.NOTED}
    assert {
        "AWS answered 2 times with RequestThrottledException",
        "AWS answered once with RequestLimitExceeded",
    } <= noted
    assert report.clean


def test_an_expired_sign_in_leaves_awss_part_out(ward: Clinic) -> None:
    ward.aws.faults.add(Fault("Auth", "expired-token", times=None))
    report = run(ward.patient)
    assert saw(report, "aws.sign-in")[0][0] is Saw.BLOCKED
    assert {step.why for step in report.steps if step.id in {"object", "role"}} == {"AWS did not let this profile in"}


@pytest.mark.parametrize(
    ("step", "side", "operation"),
    [
        ("lease", V, "ExportSnapshot"),
        ("lease", V, "nfc:GET"),
        ("snapshot", V, "CreateSnapshot_Task"),
        ("snapshot", V, "folder:GET"),
        ("tracking", V, "ReconfigVM_Task"),
        ("object", A, "UploadPart"),
        ("object", A, "CompleteMultipartUpload"),
        ("block", A, "StartSnapshot"),
        ("block", A, "PutSnapshotBlock"),
    ],
)
def test_an_interrupt_in_the_middle_leaves_nothing(
    site: tuple[VCenterSimulator, Clinic], ward: Clinic, step: str, side: str, operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Ctrl+C comes while the request is at the server; `ward` looks at what is left."""
    faults = (site[0] if side == V else ward.aws).faults
    take, pressed = faults.take, []

    def press(asked: str, *words: str, **more: str) -> Fault | None:
        if asked == operation and not pressed:
            pressed.append(asked)
            signal.raise_signal(signal.SIGINT)  # the main thread hears it
        return take(asked, *words, **more)

    monkeypatch.setattr(faults, "take", press)
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        report = run(ward.patient, "repl-01", only(step))
    finally:
        signal.signal(signal.SIGINT, kept)
    assert pressed and outcomes(report)[step] is Outcome.INTERRUPTED
    assert next(one.left for one in report.steps if one.id == step) == ()


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("cannot reach esx01.corp.example: refused", "esx01"),
        ("User: arn:aws-us-gov:sts::123456789012:assumed-role/Admin/me is not allowed", "123456789012"),
        ("at 10.0.7.12 and [fe80::1:2:3:4]:443", "10.0.7.12"),
        ("File [ssd 01] db/db_1.vmdk is locked", "db_1"),
        ("https://vc/folder/x?dcPath=HQ failed", "HQ"),
        ("web-01 and WEB-01 differ", "web-01"),
        ("login of CORP\\svc-backup@vsphere.local", "backup"),
        ("Authorization: AWS4 Credential=AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("import-ami-0123456789abcdef0 of snap-0123456789abcdef0", "0123456789abcdef0"),
    ],
)
def test_placeholders_stand_for_names(text: str, gone: str) -> None:
    names = Placeholders()
    names.learn("VM", "web-01")
    assert gone.lower() not in names.masked(text).lower()


def test_words_that_are_no_names_stay() -> None:
    text = "vim.fault.FileFault: the part 3 of 12 failed at s3.eu-west-1.amazonaws.com (503)"
    assert Placeholders().masked(text) == text


@pytest.mark.parametrize("name", ["ssd 01", "ssd+nvme 50%", "ß/日本 (1)&#", "%2f", "100%25", "+%+a"])
def test_one_letter_of_a_datastore_is_encoded_twice(name: str) -> None:
    written = quote(name.replace("%", "%25").replace("+", "%2B"), safe="")  # as `FlatFile` writes it
    path = encoded_twice(f"/folder/a.vmdk?dcPath=DC&dsName={written}")
    [once] = parse_qs(path.partition("?")[2])["dsName"]
    assert unquote_plus(once) == name != once
    assert parse_qs(f"dsName={written}")["dsName"] != [once]


def test_a_name_without_letters_is_not_tried() -> None:
    assert encoded_twice("/folder/a.vmdk?dcPath=DC&dsName=%E6%97%A5%252B") == ""
