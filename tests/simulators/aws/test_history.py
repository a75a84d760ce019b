"""The support desk's world: tasks of the past, in pages, of many Regions and two accounts, some of them in trouble."""

from __future__ import annotations

import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from tests.kits.aws_clients import REGION, Kit, refused, running
from tests.kits.waiting import wait_until
from vmie_tui.model.task import TaskKind
from vmie_tui.services.aws.session import open_session
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators import both, launch
from vmie_tui.simulators.aws.history import KEPT_SECONDS, Past
from vmie_tui.simulators.aws.history_seed import documented_failures
from vmie_tui.simulators.aws.server import SECRET_KEY
from vmie_tui.simulators.control import Fault, SimClock, TlsFiles

OTHER, OTHER_KEY = "444455556666", "AKIAI44QH8DHBEXAMPLE"
DAY = 86_400.0
CALLS = {
    TaskKind.IMPORT_IMAGE: ("describe_import_image_tasks", "ImportImageTasks", "ImportTaskId"),
    TaskKind.IMPORT_SNAPSHOT: ("describe_import_snapshot_tasks", "ImportSnapshotTasks", "ImportTaskId"),
    TaskKind.EXPORT_INSTANCE: ("describe_export_tasks", "ExportTasks", "ExportTaskId"),
    TaskKind.EXPORT_IMAGE: ("describe_export_image_tasks", "ExportImageTasks", "ExportImageTaskId"),
    TaskKind.CONVERSION: ("describe_conversion_tasks", "ConversionTasks", "ConversionTaskId"),
}
PAGED = [TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT, TaskKind.EXPORT_IMAGE]


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("history"), clock=SimClock(0.0)) as kit:
        kit.sim.add_account(OTHER, OTHER_KEY)
        kit.control("POST", "history", {"tasks": 2000, "regions": 20})
        kit.control("POST", "history", {"tasks": 60, "regions": 2, "account": OTHER})
        yield kit


@pytest.fixture(autouse=True)
def calm(kit: Kit) -> Iterator[None]:
    yield
    kit.sim.faults.clear()


def tasks(kit: Kit, kind: TaskKind, region: str = REGION, **more: Any) -> list[dict[str, Any]]:
    call, key, _ = CALLS[kind]
    client = kit.client("ec2", region)
    found: list[dict[str, Any]] = []
    while True:
        answer = getattr(client, call)(**more)
        found += answer[key]
        if "NextToken" not in answer:
            return found
        more["NextToken"] = answer["NextToken"]


def state(kind: TaskKind, task: dict[str, Any]) -> str:
    if kind is TaskKind.IMPORT_SNAPSHOT:
        task = task["SnapshotTaskDetail"]
    return str(task.get("State") or task["Status"])


def message(kind: TaskKind, task: dict[str, Any]) -> str:
    if kind is TaskKind.IMPORT_SNAPSHOT:
        task = task["SnapshotTaskDetail"]
    return str(task.get("StatusMessage") or "")


def test_every_documented_failure_and_every_state_is_there(kit: Kit) -> None:
    seen: dict[TaskKind, Counter[str]] = {kind: Counter() for kind in CALLS}
    told: set[tuple[TaskKind, str]] = set()
    total = 0
    for region in {task.region for task in kit.sim.history.every()}:
        for kind in CALLS:
            for task in tasks(kit, kind, region):
                seen[kind][state(kind, task)] += 1
                told.add((kind, message(kind, task)))
                total += 1
    assert set(documented_failures()) <= told
    for kind, states in seen.items():
        over = {"cancelled"} if kind in {TaskKind.EXPORT_INSTANCE, TaskKind.CONVERSION} else {"deleted"}
        assert {"active", "completed"} | over <= set(states), kind
    forgotten = kit.sim.history.forgotten()
    assert total + len(forgotten) == 2000 and len(forgotten) > 100


@pytest.mark.parametrize("kind", PAGED)
def test_pages_hold_every_task_once(kit: Kit, kind: TaskKind) -> None:
    _, _, name = CALLS[kind]
    whole = [task[name] for task in tasks(kit, kind)]
    assert len(whole) > 5
    kit.sim.stats.reset()
    assert [task[name] for task in tasks(kit, kind, MaxResults=5)] == whole
    requests = sum(kit.sim.stats.by_region()[REGION].values())
    assert requests == -(-len(whole) // 5)
    call = getattr(kit.client("ec2"), CALLS[kind][0])
    with refused("InvalidNextToken"):
        call(NextToken="made-up")
    with refused("InvalidParameterValue"):
        call(MaxResults=5000)


@pytest.mark.parametrize("kind", [kind for kind in CALLS if kind is not TaskKind.CONVERSION])
def test_filters(kit: Kit, kind: TaskKind) -> None:
    every = tasks(kit, kind)
    active = tasks(kit, kind, Filters=[{"Name": "task-state", "Values": ["completed"]}])
    assert active == [task for task in every if state(kind, task) == "completed"] and active
    owner = next(tag["Value"] for task in every for tag in task.get("Tags", []) if tag["Key"] == "owner")
    found = tasks(kit, kind, Filters=[{"Name": "tag:owner", "Values": [owner]}])
    assert found == [task for task in every if {"Key": "owner", "Value": owner} in task.get("Tags", [])]
    with refused("InvalidParameterValue", "filter"):
        tasks(kit, kind, Filters=[{"Name": "vm-name", "Values": ["web"]}])


def test_a_past_task_goes_on_ends_and_is_forgotten(kit: Kit) -> None:
    for kind, (_, _, name) in CALLS.items():
        values: dict[str, Any] = {
            "bucket": "b",
            "key": "k",
            "prefix": "p/",
            "format": "VMDK",
            "size": 1 << 30,
            "gib": 8,
            "image": "ami-1",
            "snapshot": "snap-1",
            "instance": "i-1",
            "target": "vmware",
            "url": "https://b/k",
            "volume": "vol-1",
        }
        ident = f"import-i-{'0' * 17}" if kind is TaskKind.CONVERSION else f"x-{kind.name}"
        kit.sim.history.add([Past(kind, ident, "sa-east-1", kit.sim.clock.now(), 600.0, values=values)])
        mine = [task for task in tasks(kit, kind, "sa-east-1") if task[name] == ident]
        assert state(kind, mine[0]) == "active"
    kit.sim.clock.advance(300)
    [half] = [t for t in tasks(kit, TaskKind.EXPORT_IMAGE, "sa-east-1") if t["ExportImageTaskId"] == "x-EXPORT_IMAGE"]
    assert 21 <= int(half["Progress"]) <= 80 and half["StatusMessage"] in {"updating", "converting"}
    kit.sim.clock.advance(301)
    for kind, (_, _, name) in CALLS.items():
        ended = {task[name]: state(kind, task) for task in tasks(kit, kind, "sa-east-1")}
        assert list(ended.values())[-1:] == ["completed"], kind
    kit.sim.clock.advance(KEPT_SECONDS)
    assert not any("x-" in task["ImportTaskId"] for task in tasks(kit, TaskKind.IMPORT_IMAGE, "sa-east-1"))


@pytest.mark.parametrize("kind", CALLS)
def test_past_tasks_can_be_cancelled_once(kit: Kit, kind: TaskKind) -> None:
    kit.control("POST", "history", {"tasks": 300, "regions": 1})  # the clock of the test before has made all old
    _, _, name = CALLS[kind]
    now = kit.sim.clock.now()
    ident = next(
        task[name]
        for task in tasks(kit, kind)
        if state(kind, task) == "active" and kit.sim.history.find(task[name], REGION, kind).at(now).progress <= 80
    )
    ec2 = kit.client("ec2")
    cancel, id_name = {
        TaskKind.CONVERSION: (ec2.cancel_conversion_task, "ConversionTaskId"),
        TaskKind.EXPORT_IMAGE: (ec2.cancel_export_task, "ExportTaskId"),
        TaskKind.EXPORT_INSTANCE: (ec2.cancel_export_task, "ExportTaskId"),
    }.get(kind, (ec2.cancel_import_task, "ImportTaskId"))
    cancel(**{id_name: ident})
    kit.sim.clock.advance(6)
    [gone] = [task for task in tasks(kit, kind) if task[name] == ident]
    assert state(kind, gone) in {"deleted", "cancelled"} and message(kind, gone) == "User initiated cancelation"
    with refused("DeleteConversionTaskError" if kind is TaskKind.CONVERSION else "IncorrectState"):
        cancel(**{id_name: ident})


# Regions and accounts


def test_another_account_has_another_past(kit: Kit) -> None:
    kit.control("POST", "history", {"tasks": 300, "regions": 1})
    kit.control("POST", "history", {"tasks": 60, "regions": 2, "account": OTHER})
    theirs = kit.client("ec2", aws_access_key_id=OTHER_KEY, aws_secret_access_key=SECRET_KEY)
    found = {task["ImportTaskId"] for task in theirs.describe_import_image_tasks()["ImportImageTasks"]}
    assert found and not found & {task["ImportTaskId"] for task in tasks(kit, TaskKind.IMPORT_IMAGE)}


def test_a_region_that_denies_is_disabled_or_throttles(kit: Kit) -> None:
    for region, action in (("eu-west-2", "deny"), ("af-south-1", "disabled"), ("us-west-1", "throttle")):
        kit.sim.faults.add(Fault("*", action, region=region, times=None))
    for region, code in (
        ("eu-west-2", "UnauthorizedOperation"),
        ("af-south-1", "AuthFailure"),
        ("us-west-1", "RequestLimitExceeded"),
    ):
        for kind in CALLS:
            with refused(code):
                tasks(kit, kind, region)
    assert isinstance(tasks(kit, TaskKind.EXPORT_IMAGE, "eu-central-1"), list)
    other: dict[str, Any] = {"aws_access_key_id": OTHER_KEY, "aws_secret_access_key": SECRET_KEY}
    kit.sim.faults.clear()
    kit.sim.faults.add(Fault("*", "deny", region="eu-west-2", account=OTHER, times=None))
    assert isinstance(tasks(kit, TaskKind.EXPORT_IMAGE, "eu-west-2"), list)
    with refused("UnauthorizedOperation"):
        kit.client("ec2", "eu-west-2", **other).describe_export_tasks()


def test_regions_that_are_not_enabled(kit: Kit) -> None:
    kit.sim.disabled = {"me-central-1"}
    try:
        ec2 = kit.client("ec2")
        names = {item["RegionName"] for item in ec2.describe_regions()["Regions"]}
        assert REGION in names and "me-central-1" not in names and not any(name.startswith("cn-") for name in names)
        every = {item["RegionName"]: item["OptInStatus"] for item in ec2.describe_regions(AllRegions=True)["Regions"]}
        assert every["me-central-1"] == "not-opted-in" and every["af-south-1"] == "opted-in"
        assert every[REGION] == "opt-in-not-required"
        with refused("AuthFailure"):
            tasks(kit, TaskKind.IMPORT_IMAGE, "me-central-1")
    finally:
        kit.sim.disabled = set()


def test_a_region_that_never_answers_does_not_keep_the_simulator(
    tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tls, tmp_path_factory.mktemp("silent")) as kit:
        fault = kit.sim.faults.add(Fault("*", "timeout", region="ap-south-1", times=None))
        impatient = Config(read_timeout=0.3, retries={"total_max_attempts": 1})
        silent = kit.client("ec2", "ap-south-1", config=impatient)
        with pytest.raises(ReadTimeoutError):
            silent.describe_export_tasks()
        assert kit.client("ec2").describe_export_tasks()["ExportTasks"] == []
        waiting = threading.Thread(target=_ask, args=(kit.client("ec2", "ap-south-1"),))
        waiting.start()
        wait_until(lambda: fault.fired == 2, what="the second request")
        before = time.monotonic()
    waiting.join(10)
    assert time.monotonic() - before < 5 and not waiting.is_alive()


def _ask(client: Any) -> None:
    with pytest.raises(Exception, match=r"."):
        client.describe_export_tasks()


def test_the_demo_has_a_second_account(tmp_path: Path) -> None:
    launch.start(tmp_path, launch.Wanted(idle_hours=0.05, fleet="tiny", history=60))
    try:
        profiles = tomllib.loads((tmp_path / launch.PROFILE_FILE).read_text())["profiles"]
        assert list(profiles) == [both.DEMO, both.DESK] and set(profiles[both.DESK]) == {"aws"}
        owners, seen = set(), set()
        for name, tables in profiles.items():
            aws = tables["aws"]
            files = {key: Path(aws.pop(key)) for key in ("ca_bundle", "credentials_file")}
            session = open_session(AwsSettings(**aws, **files))
            owners.add(session.identity().account)
            found = session.client("ec2", aws["region"]).describe_import_image_tasks()["ImportImageTasks"]
            assert found, name
            seen |= {task["ImportTaskId"] for task in found}
            bucket = session.client("s3", aws["region"]).get_bucket_location(Bucket=aws["bucket"])
            assert bucket["LocationConstraint"] == aws["region"]
            session.close()
        assert owners == {"111122223333", both.DESK_ACCOUNT} and len(seen) > 2
        stats = launch.Admin(tmp_path)("aws", "GET", "stats")
        assert stats["regions"]["eu-central-1"]["ec2:DescribeImportImageTasks"] == 1
    finally:
        launch.stop(tmp_path)
