"""Going back from a cutover, on both simulators: the instance stops and keeps its disks, the machine runs again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kits.aws_world import REGION, World, register
from tests.kits.fake_replications import replica, run_of
from tests.kits.vcenter_session import named
from vmie_tui.jobs.engine.tags import MADE_BY
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Power
from vmie_tui.model.replication import TAG_RUN, RunState
from vmie_tui.operations.roll_back import last_cutover, roll_back
from vmie_tui.services.aws.ec2 import launch
from vmie_tui.services.aws.ec2.job_resources import tagged_snapshots
from vmie_tui.services.aws.ec2.launch import LaunchRequest
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.simulators.control import Fault
from vmie_tui.simulators.fleet.tiny import make_boot
from vmie_tui.simulators.vcenter.server import VCenterSimulator

MIB = 1 << 20
OURS = {TAG_RUN: "sms-run-0a1b2c3d", "Name": "app-01"}


@pytest.fixture(scope="module")
def image(shared: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("disk") / "linux.raw"
    make_boot(path, 8 * MIB, MIB, "cutover")
    return register(shared, "cut over", path.read_bytes())


@pytest.fixture
def moid(vcenter: VCenterSimulator, vsphere: VSphere) -> Iterator[str]:
    """app-01 as a cutover leaves it: shut down."""
    vcenter.set_power("app-01", "poweredOff")
    yield named(vsphere, "app-01").moid
    vcenter.set_power("app-01", "poweredOff")


def launched(world: World, image: str, token: str, tags: dict[str, str], *, running: bool = True) -> str:
    simulator, session = world
    ident = launch.launch(session, REGION, LaunchRequest(image, "t3.small", token, isolated=False, tags=tags)).id
    if running:
        simulator.clock.advance(60)
    return ident


def state(world: World, ident: str) -> str:
    return launch.state(world[1], REGION, ident).state


def test_the_instance_stops_before_the_machine_runs_and_keeps_its_volumes(
    aws: World, image: str, vcenter: VCenterSimulator, vsphere: VSphere, moid: str
) -> None:
    ident = launched(aws, image, "roll-back", OURS)
    seen: list[tuple[str, str, Power]] = []

    def step(words: str) -> None:
        seen.append((words, state(aws, ident), read_machine(vsphere, moid).power))

    words = roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=ident, on_step=step)
    assert seen == [
        (f"stopping {ident}", "running", Power.OFF),
        ("powering app-01 on", "stopped", Power.OFF),
    ]
    assert (state(aws, ident), read_machine(vsphere, moid).power) == ("stopped", Power.ON)
    assert f"{ident} is stopped" in words[0] and words[1] == "app-01 is powered on"
    volumes = aws[1].client("ec2", REGION).describe_volumes()["Volumes"]
    assert any(one["InstanceId"] == ident for volume in volumes for one in volume["Attachments"])
    again = roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=ident)  # nothing is left to do
    assert again[1] == "app-01 was powered on already" and state(aws, ident) == "stopped"
    launch.terminate(aws[1], REGION, ident)


def test_backups_of_what_a_cutover_launched_are_not_taken_for_what_a_run_made(aws: World, image: str) -> None:
    """They have the tags of its volumes, which are ours, and a deleted replication takes its snapshots away by tag."""
    ec2 = aws[1].client("ec2", REGION)
    ident = launched(aws, image, "backed-up", OURS)
    attached = ec2.describe_instances(InstanceIds=[ident])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    (volume,) = ec2.describe_volumes(VolumeIds=[attached[0]["Ebs"]["VolumeId"]])["Volumes"]
    copied = [{"ResourceType": "snapshot", "Tags": volume["Tags"]}]
    backup = ec2.create_snapshot(VolumeId=volume["VolumeId"], Description="nightly", TagSpecifications=copied)
    tags = [{"Key": TAG_RUN, "Value": OURS[TAG_RUN]}]
    ebs = aws[1].client("ebs", REGION)
    begun = ebs.start_snapshot(VolumeSize=1, Description=f"app-01 Hard disk 1{MADE_BY}", Tags=tags)
    found = set(tagged_snapshots(aws[1], REGION, TAG_RUN, OURS[TAG_RUN], described=MADE_BY))
    assert found == {begun["SnapshotId"]}
    assert backup["SnapshotId"] in set(tagged_snapshots(aws[1], REGION, TAG_RUN, OURS[TAG_RUN], described="nightly"))
    launch.terminate(aws[1], REGION, ident)


@pytest.mark.parametrize("tags", [{}, {"vmie-tui:job": "job-1", "Name": "app-01"}], ids=["foreign", "test launch"])
def test_an_instance_that_no_run_launched_is_left_alone_and_so_is_the_machine(
    aws: World, image: str, vcenter: VCenterSimulator, vsphere: VSphere, moid: str, tags: dict[str, str]
) -> None:
    ident = launched(aws, image, f"foreign-{len(tags)}", tags)
    with pytest.raises(ServiceError, match="no replication run has launched this instance") as caught:
        roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=ident)
    assert caught.value.kind is ErrorKind.REFUSED and ident in str(caught.value)
    assert (state(aws, ident), read_machine(vsphere, moid).power) == ("running", Power.OFF)
    launch.terminate(aws[1], REGION, ident)


def test_one_that_still_starts_is_waited_for(
    aws: World, image: str, vcenter: VCenterSimulator, vsphere: VSphere, moid: str
) -> None:
    ident = launched(aws, image, "starting", OURS, running=False)
    assert state(aws, ident) == "pending"
    waited: list[str] = []

    def wait() -> None:
        waited.append(state(aws, ident))
        aws[0].clock.advance(60)

    words = roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=ident, check=wait)
    assert waited[0] == "pending" and "is stopped" in words[0]
    launch.terminate(aws[1], REGION, ident)


def test_what_is_gone_or_was_never_launched_does_not_keep_the_machine_down(
    aws: World, image: str, vcenter: VCenterSimulator, vsphere: VSphere, moid: str
) -> None:
    ident = launched(aws, image, "terminated", OURS)
    launch.terminate(aws[1], REGION, ident)
    words = roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=ident)
    assert words == (f"{ident} is terminated already", "app-01 is powered on")
    for none in ("i-0123456789abcdef0", ""):
        vcenter.set_power("app-01", "poweredOff")
        words = roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=none)
        assert words == (*([f"{none} is gone already"] if none else []), "app-01 is powered on")


def test_a_machine_that_cannot_be_powered_on_says_how_either_comes_back(
    aws: World, image: str, vcenter: VCenterSimulator, vsphere: VSphere, moid: str
) -> None:
    ident = launched(aws, image, "no-power", OURS)
    vcenter.faults.add(Fault("PowerOnVM_Task", "task-error", code="InsufficientResourcesFault", message="No memory."))
    with pytest.raises(ServiceError) as caught:
        roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=ident)
    problem = caught.value.problem
    assert f"or start {ident} again" in problem.remedy and problem.retry_safe and "No memory" in str(problem)
    assert state(aws, ident) == "stopped"
    vcenter.faults.clear()
    assert roll_back(vsphere, aws[1], REGION, moid=moid, instance_id=ident)[1] == "app-01 is powered on"
    launch.terminate(aws[1], REGION, ident)


def test_a_machine_that_is_gone_is_said_before_anything_is_stopped(aws: World, image: str, vsphere: VSphere) -> None:
    ident = launched(aws, image, "no-machine", OURS)
    with pytest.raises(ServiceError) as caught:
        roll_back(vsphere, aws[1], REGION, moid="vm-999999", instance_id=ident)
    assert caught.value.kind is ErrorKind.NOT_FOUND and state(aws, ident) == "running"
    launch.terminate(aws[1], REGION, ident)


def test_the_newest_cutover_that_took_place_is_gone_back_from() -> None:
    cut, failed = run_of(3, cutover=True), run_of(4, RunState.FAILED, cutover=True)
    missed = run_of(5, RunState.MISSED, cutover=True)
    assert last_cutover(replica(1, "web-01", run_of(6), cut)).id == cut.id
    assert last_cutover(replica(1, "web-01", missed, failed, cut)).id == failed.id  # its machine may be off
    at_work = run_of(7, RunState.ACTIVE, cutover=True)
    with pytest.raises(ServiceError, match="is at work"):  # it would stop the one before, and power the machine on
        last_cutover(replica(1, "web-01", at_work, cut))
    with pytest.raises(ServiceError, match="was not cut over"):
        last_cutover(replica(1, "web-01", run_of(6), missed))
