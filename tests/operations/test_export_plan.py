"""An export that goes into vCenter: what there is to say of it, and the command that does the same as the form."""

from __future__ import annotations

import inspect
import shlex
from dataclasses import replace
from typing import Any

import click
import pytest

from vmie_tui.commands.export import draft_of
from vmie_tui.commands.export import export_command as export_command_line
from vmie_tui.model import facts
from vmie_tui.model.deploy_places import DeployChoice, DeployNames, DeployPlace, DeployPlaces, choose_place
from vmie_tui.model.export import Container, DeployTarget, ExportFormat, ExportPlan, TargetEnvironment
from vmie_tui.model.exportable import Exportable, ExportBucket, ExportDisk
from vmie_tui.model.finding import Severity
from vmie_tui.model.rules.deploying import NAME_MAX, check_deploy
from vmie_tui.operations.export_plan import ExportDraft, export_command, new_draft
from vmie_tui.operations.profile import ProfileInfo

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741
GIB = facts.GIB
TARGET = DeployTarget("web-99", "resgroup-1", "ds-1", network="network-1", cpus=2, memory_mib=4096)
PLAN = ExportPlan("p", "ami-0123456789abcdef0", "golden", "eu-west-1", "b-1-x", deploy=TARGET)
THING = Exportable("ami-0123456789abcdef0", "eu-west-1", disks=(ExportDisk("/dev/sda1", 40),))
CHOICE = DeployChoice(TARGET, DeployNames("DC1/cl-01", "DC1/vmfs ssd", "DC1/It's", "DC1/VLAN 20"), 900 * GIB)
PROFILE = ProfileInfo("p", region="us-east-1", bucket="other", prefix="other/", role_name="vmimport")
NEAR = frozenset({"domain-c1"})
PLACES = DeployPlaces(
    (DeployPlace("resgroup-1", "cl-01", "DC1/cl-01", near=NEAR),),
    (DeployPlace("ds-1", "vmfs ssd", "DC1/vmfs ssd", 39 * GIB, near=NEAR),),
)
DRAFTED = tuple(name for name in inspect.signature(draft_of).parameters if name != "profile")


def found(plan: ExportPlan = PLAN, free: int | None = 900 * GIB) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.what) for finding in check_deploy(plan, THING, free)]


def test_what_there_is_to_say_of_the_new_machine() -> None:
    hardware = (I, "gets 2 CPUs and 4,096 MiB, as the instance has")
    assert found() == [hardware]
    assert found(free=39 * GIB)[0] == (W, "the datastore has 39 GiB free, its disks may need 40 GiB")
    assert found(free=None) == found(free=40 * GIB) == [hardware]
    no_card = replace(PLAN, deploy=replace(TARGET, network=""))
    assert found(no_card) == [hardware, (I, "gets no network card")]
    unknown = replace(PLAN, deploy=replace(TARGET, cpus=0, memory_mib=0))
    assert [what for _, what in found(unknown)] == ["gets modest hardware: a disk does not say what it ran on"]
    assert found(replace(PLAN, container=Container.OVA)) == [], "its descriptor says so"
    assert found(replace(PLAN, deploy=replace(TARGET, name="x" * NAME_MAX))) == [hardware]
    assert found(replace(PLAN, deploy=replace(TARGET, name="x" * (NAME_MAX + 1))))[0][0] is B
    assert found(replace(PLAN, deploy=None)) == []


def test_hardware_is_for_a_disk_without_a_descriptor() -> None:
    bare = DeployChoice(replace(TARGET, cpus=0, memory_mib=0), CHOICE.names)
    draft = ExportDraft("i-0aa11bb22cc33dd44", "web", "eu-west-1", deploy=bare, cpus=8, memory_mib=16384)
    assert draft.plan().container is Container.OVA and draft.plan().deploy == bare.target
    draft.form = "VMDK/"
    assert draft.plan().deploy == replace(bare.target, cpus=8, memory_mib=16384)


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        replace(PLAN, deploy=None, format=ExportFormat.RAW, download_to="/tmp", convert_to="vhdx", clean_up=True),
        replace(
            PLAN,
            source_id="i-0aa11bb22cc33dd44",
            container=Container.OVA,
            target_environment=TargetEnvironment.VMWARE,
            prefix="a b/",
        ),
        replace(
            PLAN,
            source_id="i-0aa11bb22cc33dd44",
            format=ExportFormat.VHD,
            target_environment=TargetEnvironment.CITRIX,
            deploy=None,
        ),
    ],
)
def test_the_command_says_the_same(plan: ExportPlan) -> None:
    words = shlex.split(export_command(plan, CHOICE))
    assert words[:4] == ["vmie-tui", "--profile", "p", "export"]
    given = options_of(words[4:])
    assert draft_of(PROFILE, **{name: given[name] for name in DRAFTED}).plan() == replace(
        plan, deploy=None, name=plan.source_id
    )
    places = [given[key] for key in ("deploy_name", "pool", "datastore", "folder", "network", "cpus", "memory")]
    names = CHOICE.names
    wanted = ["web-99", names.pool, names.datastore, names.folder, names.network, 2, 4096]
    assert places == (wanted if plan.deploy is not None else [None] * 7)


def options_of(words: list[str]) -> dict[str, Any]:
    return dict(export_command_line.make_context("export", words).params)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
@pytest.mark.parametrize("source", ["i-0aa11bb22cc33dd44", "ami-0123456789abcdef0"])
def test_form_and_command_preset_and_find_the_same(source: str, region: str) -> None:
    """With nothing but the id said: the profile's bucket in its own Region alone, the instance's own hardware."""
    form = new_draft(PROFILE, source, region)
    given = options_of([source, "--region", region])
    by_hand = draft_of(PROFILE, **{name: given[name] for name in DRAFTED})
    assert form.bucket == ("other" if region == PROFILE.region else "")
    bucket = ExportBucket("other", region, True)
    thing = replace(THING, id=source, name="web", cpus=8, memory_mib=16384)
    for draft in (form, by_hand):
        draft.take(thing)
        draft.deploy = choose_place(PLACES, "web-99", DeployNames("cl-01", "vmfs ssd"))
        draft.form = draft.form.partition("/")[0] + "/"
    assert by_hand == form and by_hand.plan() == form.plan()
    target = by_hand.plan().deploy
    assert target is not None and (target.cpus, target.memory_mib) == (8, 16384)
    assert by_hand.findings(thing, bucket) == form.findings(thing, bucket)
    assert "the datastore has 39 GiB free" in " ".join(finding.what for finding in by_hand.findings(thing, bucket))


def test_a_command_is_refused_what_the_form_calls_a_mistake() -> None:
    given = options_of(["i-0aa11bb22cc33dd44", "--download", "/no/such/folder"])
    with pytest.raises(click.UsageError, match="--download: there is no such folder"):
        draft_of(PROFILE, **{name: given[name] for name in DRAFTED})
