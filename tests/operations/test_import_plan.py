"""One front desk for imports: the wizard and ``vmie-tui import`` make the same plan of the same machine or source."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from tests.kits.fleet_machines import company_machines
from vmie_tui import settings as settings_module
from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.import_ import command
from vmie_tui.commands.session import Session
from vmie_tui.model.machine import Disk, Inventory, Machine, VCenterInfo
from vmie_tui.model.plan import FileSource, ObjectSource, Route, SnapshotSource, Source, UploadFormat, Via
from vmie_tui.operations.import_plan import Candidate, Draft, draft_of, make_plan, of_machines
from vmie_tui.operations.profile import profile_info
from vmie_tui.settings import AwsSettings, Profile, Settings, VCenterSettings

BY_NAME = company_machines()
MACHINES = tuple(BY_NAME.values())
CHOOSES_NOTHING = "the user has chosen nothing"


def settings_of(bucket: str, region: str = "eu-west-1") -> Settings:
    profile = Profile("prod", VCenterSettings("vcenter.corp", "u"), AwsSettings(region=region, bucket=bucket))
    return replace(settings_module.load(), table={"prod": profile}, default_profile="prod")


def by_command(monkeypatch: pytest.MonkeyPatch, settings: Settings, *arguments: str) -> list[dict[str, Any]]:
    """What ``vmie-tui import … --dry-run --json`` prints of the demo's machines; AWS is not asked."""
    inventory = Inventory(VCenterInfo("vcenter.corp"), datetime.now(UTC), MACHINES)
    monkeypatch.setattr(inventory_command, "read", lambda *_: inventory)
    monkeypatch.setattr(command, "look_at_accounts", lambda _, plans: [() for _ in plans])
    wanted = [*arguments, "--dry-run", "--json"]
    session = Session()
    monkeypatch.setattr(Session, "settings", settings)
    done = CliRunner().invoke(command.import_command, wanted, obj=session, standalone_mode=False)
    assert done.exception is None, done.output
    printed: list[dict[str, Any]] = json.loads(done.stdout)
    return printed


def wizard_of(settings: Settings, *candidates: Candidate) -> Draft:
    return draft_of(profile_info(settings, settings.profile()), candidates)


@pytest.mark.parametrize("bucket", ["migration", ""], ids=["with a bucket", "without one"])
@pytest.mark.parametrize("region", ["eu-west-1", "eu-north-1"])
def test_the_wizard_and_the_command_plan_every_machine_of_the_demo_alike(
    monkeypatch: pytest.MonkeyPatch, bucket: str, region: str
) -> None:
    settings = settings_of(bucket, region)
    printed = by_command(monkeypatch, settings, *(machine.path for machine in MACHINES))
    assert len(printed) == len(MACHINES) == 294
    for machine, one in zip(MACHINES, printed, strict=True):
        (plan,) = wizard_of(settings, *of_machines([machine], "vcenter.corp")).plans()
        assert json.loads(json.dumps(plan.to_json())) == one["plan"], machine.name
    taken = Counter(one["plan"]["route"] for one in printed)
    assert Route.UNMODIFIED.value not in taken, "nobody gets an unmodified AMI without asking for it"
    assert taken[Route.IMAGE.value if bucket else Route.IMAGE_DIRECT.value] > 250


ROUTES = [
    # name, with a bucket, without one
    ("web-01", Route.IMAGE, Route.IMAGE_DIRECT),
    ("web-legacy", Route.IMAGE, Route.IMAGE_DIRECT),  # 32-bit Linux
    ("arm-build-01", Route.IMAGE, Route.IMAGE_DIRECT),
    ("media-archive-01", Route.IMAGE, Route.IMAGE),  # a disk of 10 TiB: neither takes it
    ("backup-repo-01", Route.IMAGE, Route.IMAGE),  # 23 disks
]


@pytest.mark.parametrize(("name", "with_bucket", "without"), ROUTES)
def test_the_default_route(name: str, with_bucket: Route, without: Route) -> None:
    for bucket, route in (("migration", with_bucket), ("", without)):
        draft = wizard_of(settings_of(bucket), *of_machines([BY_NAME[name]], "vcenter.corp"))
        assert draft.route is route, CHOOSES_NOTHING


def test_a_route_that_would_fail_is_recommended_to_nobody() -> None:
    for name, _, _ in ROUTES:
        options = wizard_of(settings_of("b"), *of_machines([BY_NAME[name]], "vcenter.corp")).route_options()
        recommended = [option.value for option in options if "recommended" in option.label]
        assert recommended == ([Route.IMAGE.value] if name == "web-01" else []), name


def test_one_machine_that_aws_cannot_convert_changes_nothing_for_the_others() -> None:
    some = [BY_NAME[name] for name in ("web-legacy", "web-01", "web-02")]
    for order in (some, some[::-1]):
        assert wizard_of(settings_of("b"), *of_machines(order, "vcenter.corp")).route is Route.IMAGE


def test_several_take_the_first_default_that_all_of_them_can_take() -> None:
    snapshot = Candidate(SnapshotSource("s", ("snap-0123456789abcdef0",)), BY_NAME["web-01"])
    machine = of_machines([BY_NAME["web-02"]], "vcenter.corp")
    assert wizard_of(settings_of("b"), *machine, snapshot).route is Route.IMAGE_DIRECT
    assert wizard_of(settings_of("b"), snapshot, *machine).route is Route.IMAGE_DIRECT


@pytest.mark.parametrize("route", list(Route))
@pytest.mark.parametrize("bucket", ["migration", ""], ids=["with a bucket", "without one"])
def test_a_chosen_route_has_the_same_way_and_format(route: Route, bucket: str) -> None:
    settings = settings_of(bucket)
    for machine in MACHINES:
        plan = make_plan(settings.profile(), machine, route=route.value)
        draft = wizard_of(settings, *of_machines([machine], "vcenter.corp"))
        draft.choose_route(route)
        (drawn,) = draft.plans()
        volumes = replace(plan, volumes=drawn.volumes, legacy=drawn.legacy)
        assert drawn == volumes, machine.name


def test_a_way_and_a_format_that_were_chosen_stay_where_they_can() -> None:
    draft = wizard_of(settings_of("migration"), *of_machines([BY_NAME["web-01"]], "vcenter.corp"))
    draft.choose_route(Route.UNMODIFIED)
    assert draft.via is Via.S3
    draft.choose_via(Via.EBS)
    draft.choose_route(Route.SNAPSHOT)
    assert draft.via is Via.EBS
    draft.choose_route(Route.IMAGE)
    draft.choose_format(UploadFormat.OVA)
    draft.choose_route(Route.INSTANCE)
    assert draft.upload_format is not UploadFormat.OVA, "which takes none"


def disk(image: str) -> tuple[Disk, ...]:
    return (Disk(1, "disk", 8 << 30, image=image),)


def held(image: str, **fields: Any) -> Machine:
    return Machine("where", "thing", guest_id="debian12_64Guest", disks=disk(image), **fields)


SOURCES: list[tuple[str, Source, Machine, Route, Route]] = [
    ("file", FileSource("web", ("/x/web.vmdk",)), held("vmdk-stream streamOptimized"), Route.IMAGE, Route.IMAGE_DIRECT),
    (
        "data file",
        FileSource("d", ("/x/d.vmdk",)),
        Machine("w", "d", disks=disk("raw")),
        Route.SNAPSHOT,
        Route.SNAPSHOT,
    ),
    ("object", ObjectSource("o", "theirs", ("o.ova",), "OVA"), held("ova"), Route.IMAGE, Route.IMAGE),
    ("VHDX object", ObjectSource("o", "theirs", ("o.vhdx",), "VHDX"), held("vhdx"), Route.IMAGE, Route.IMAGE),
    ("snapshot", SnapshotSource("s", ("snap-1",)), held("raw"), Route.IMAGE_DIRECT, Route.IMAGE_DIRECT),
]


@pytest.mark.parametrize(
    ("source", "machine", "with_bucket", "without"), [row[1:] for row in SOURCES], ids=[r[0] for r in SOURCES]
)
def test_other_sources_are_planned_alike(source: Source, machine: Machine, with_bucket: Route, without: Route) -> None:
    for bucket, route in (("mine", with_bucket), ("", without)):
        settings = settings_of(bucket)
        plan = make_plan(settings.profile(), machine, source, route=None)
        (drawn,) = wizard_of(settings, Candidate(source, machine)).plans()
        assert replace(plan, volumes=drawn.volumes) == drawn
        assert plan.route is route
        if isinstance(source, ObjectSource):
            assert plan.bucket == "theirs", "nothing is written to one of ours"
