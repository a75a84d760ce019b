"""Templates of names: what stands for what, and that the wizard and the command line make the same of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.kits.fake_backend import machine
from vmie_tui.model import naming
from vmie_tui.model.plan import VmSource
from vmie_tui.operations.import_plan import Candidate, draft_of, make_plan
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.settings import AwsSettings, Profile, VCenterSettings

NOON = datetime(2026, 3, 4, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("template", "name", "made"),
    [
        ("{vm}-{date}", "web-01", "web-01-2026-03-04"),
        ("mig/{region}/{vm}", "db{date}", "mig/eu-west-1/db-date-"),  # what a VM is called is no template
        ("{vm}", "a&b:c", "a-b-c"),
        ("fixed", "web", "fixed"),
        ("{profile} {vm} ", "x", "prod x"),
        ("{unknown}", "x", "{unknown}"),
    ],
)
def test_places_are_filled(template: str, name: str, made: str) -> None:
    values = naming.places(name, NOON, profile="prod", region="eu-west-1")
    assert naming.ami_name(template, values) == made


def test_what_stands_for_nothing_is_found() -> None:
    assert naming.unknown_place("{vm}-{dat}") == "{dat}"
    assert naming.unknown_place("".join(f"{{{place}}}" for place in naming.PLACES)) == ""


def test_wizard_and_command_line_name_alike() -> None:
    one = machine(1, "web & co")
    aws = AwsSettings(
        region="eu-west-1", bucket="b", ami_name="m-{vm}-{region}", description="{vm} by {profile}", tags=(("a", "b"),)
    )
    by_command = make_plan(Profile("prod", VCenterSettings("vc", "u"), aws), one)
    source = VmSource("vc", one.moid, one.name, one.instance_uuid)
    info = ProfileInfo(
        "prod",
        region=aws.region,
        bucket="b",
        role_name="vmimport",
        ami_name=aws.ami_name,
        description=aws.description,
        tags="a=b",
    )
    (by_wizard,) = draft_of(info, (Candidate(source, one),)).plans()
    assert by_wizard.ami_name == by_command.ami_name == "m-web - co-eu-west-1"
    assert by_wizard.description == by_command.description == "web & co by prod"
    assert by_wizard.tags == by_command.tags == {"a": "b"}


def test_options_win_over_the_profile() -> None:
    aws = AwsSettings(region="eu-west-1", bucket="b", ami_name="{vm}-p", tags=(("a", "b"), ("c", "d")))
    plan = make_plan(
        Profile("prod", VCenterSettings("vc", "u"), aws), machine(1, "web-01"), ami_name="mine-{vm}", tags={"a": "x"}
    )
    assert (plan.ami_name, plan.tags) == ("mine-web-01", {"a": "x", "c": "d"})
