"""The Setup screen on the real doctor and a simulated AWS, over its socket: what is missing is made, and is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.kits.aws_world import settings_for
from tests.kits.driving import press, running, screen_text, settle
from vmie_tui import settings as settings_module
from vmie_tui.model.doctor import USUAL_FEATURES, CheckState
from vmie_tui.operations.doctor import USER
from vmie_tui.operations.operations import Operations
from vmie_tui.settings import Profile
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import SimClock, TlsFiles


async def test_a_missing_bucket_is_made(tmp_path: Path, tls: TlsFiles) -> None:
    with AwsSimulator(tmp_path / "aws", tls=tls, region="eu-west-1", clock=SimClock(speed=200.0)) as simulator:
        profile = Profile("prod", None, replace(settings_for(simulator, tls, tmp_path), bucket="made-by-setup"))
        loaded = replace(settings_module.load(), table={"prod": profile}, default_profile="prod")
        operations = Operations(loaded, profile)
        async with running(operations) as pilot:
            await press(pilot, "6")
            table = pilot.app.screen.table
            index = next(i for i, row in enumerate(table.rows) if row.check and row.check.id == "bucket.exists")
            table.move_to(index)
            assert table.rows[index].check.state is CheckState.FAILED
            await press(pilot, "f")
            assert "s3:CreateBucket" in screen_text(pilot)
            await press(pilot, "right", "enter")
            await settle(pilot)
            check = next(row.check for row in table.rows if row.check and row.check.id == "bucket.exists")
            assert check.state is CheckState.OK
        policy = json.loads(operations.doctor.policy(USER, USUAL_FEATURES))
        assert "made-by-setup" in json.dumps(policy) and any(
            "ec2:ImportImage" in statement["Action"] for statement in policy["Statement"]
        )
