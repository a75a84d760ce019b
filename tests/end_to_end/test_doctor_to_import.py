"""From nothing to a finished import: doctor names what is missing, makes it, and the printed rights are enough."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kits.job_world import World
from vmie_tui import settings as settings_module
from vmie_tui.cli import main
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK
from vmie_tui.operations.jobs import Jobs
from vmie_tui.settings import DEMO
from vmie_tui.simulators import launch
from vmie_tui.simulators.aws.roles import role_document, trust_document

ROLE, BUCKET = "vmimport", "amzn-s3-demo-first-migration"
PRIVILEGES = ("VApp.Export", "VirtualMachine.State.CreateSnapshot", "VirtualMachine.State.RemoveSnapshot")
WANTED = ("--feature", "import", "--feature", "fixes")


@pytest.fixture
def bare(world: World) -> Iterator[World]:
    """No role, no bucket, and a vCenter user without privileges; as it was for the tests that follow."""
    profile = world.settings.demo_dir / launch.PROFILE_FILE
    before = world.settings.profile().aws.bucket
    profile.write_text(profile.read_text().replace(f'"{before}"', f'"{BUCKET}"'))
    world.settings.state_dir.chmod(0o700)
    iam = world.aws.client("iam")
    for name in iam.list_role_policies(RoleName=ROLE)["PolicyNames"]:
        iam.delete_role_policy(RoleName=ROLE, PolicyName=name)
    iam.delete_role(RoleName=ROLE)
    for privilege in PRIVILEGES:
        world.admin("vcenter", "POST", "privileges", {"revoke": privilege})
    bare = World(settings_module.load(DEMO), world.admin)
    yield bare
    bare.client.close()
    world.admin("aws", "POST", "policy", {"policy": None})
    for privilege in PRIVILEGES:
        world.admin("vcenter", "POST", "privileges", {"grant": privilege})
    names = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    if ROLE not in names:
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust_document())
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust_document())
    iam.put_role_policy(RoleName=ROLE, PolicyName=ROLE, PolicyDocument=role_document(before))


def doctor(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> Any:
    capsys.readouterr()
    assert main(["--profile", DEMO, "doctor", *words]) == code, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def failed(report: Any) -> set[str]:
    return {check["id"] for check in report["checks"] if check["state"] == "failed"}


def denied(world: World) -> dict[str, int]:
    """How often the user was refused each call."""
    requests = world.admin("aws", "GET", "stats")["requests"]
    return {call: times for call, times in requests.items() if call.startswith("denied:")}


def test_doctor_makes_ready_for_the_first_import(bare: World, capsys: pytest.CaptureFixture[str]) -> None:
    report = doctor(capsys, "--json", code=EXIT_FAILED)
    assert failed(report) == {"bucket.exists", "role.exists", "vcenter.privileges.DC1"}
    [site] = [check for check in report["checks"] if check["id"] == "vcenter.privileges.DC1"]
    assert all(privilege in site["reason"] for privilege in PRIVILEGES)

    report = doctor(capsys, "--fix", "--yes", "--json", code=EXIT_FAILED)
    assert failed(report) == {"vcenter.privileges.DC1"}, "that is an administrator's to give"

    for entry in doctor(capsys, "--print-policy", "vcenter", code=EXIT_OK)["privileges"]:
        bare.admin("vcenter", "POST", "privileges", {"grant": entry["id"]})
    policy = doctor(capsys, "--print-policy", "user", *WANTED, code=EXIT_OK)
    bare.admin("aws", "POST", "policy", {"policy": policy})
    report = doctor(capsys, "--json", *WANTED, code=EXIT_OK)
    assert failed(report) == set()

    policy = doctor(capsys, "--print-policy", "user", "--feature", "import", code=EXIT_OK)
    bare.admin("aws", "POST", "policy", {"policy": policy})
    before = denied(bare)
    assert main(["--profile", DEMO, "import", "odd-size-01", "--dry-run"]) == EXIT_OK, "the look at the account"
    bare.client = Jobs(bare.settings)
    view = bare.wait(bare.submit("odd-size-01"))
    assert view.image_id.startswith("ami-")
    assert denied(bare) == before, "the printed policy is enough for the whole job"
    bare.admin("aws", "POST", "policy", {"policy": None})
    bare.assert_equal("odd-size-01", view)
