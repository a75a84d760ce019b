"""AWS wants the code of an MFA device: asked for in the app, never on the terminal below it."""

from __future__ import annotations

from textual.widgets import Input

from tests.kits.driving import press, running, screen_text, settle
from tests.kits.fake_backend import FakeOperations
from vmie_tui.app import MFA_NEEDED
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.screens.frame.password import PasswordScreen
from vmie_tui.services.aws import sign_in
from vmie_tui.widgets.frame import Health

SERIAL = "arn:aws:iam::111122223333:mfa/ops"


async def test_the_code_is_asked_for_and_used() -> None:
    assert MFA_NEEDED == sign_in.MFA_NEEDED
    operations = FakeOperations()
    operations.mfa_code = "123456"
    operations.aws_error = ServiceError(ErrorKind.LOGIN, "AWS wants a code", subject=SERIAL, code=MFA_NEEDED)
    async with running(operations) as pilot:
        app = pilot.app
        assert app.status.aws.health is Health.BAD
        await press(pilot, "L")
        assert isinstance(app.screen, PasswordScreen) and SERIAL in screen_text(pilot)
        assert app.screen.query_one(Input).password
        await press(pilot, *"000000", "enter")
        await settle(pilot)
        assert app.status.aws.health is Health.BAD
        await press(pilot, "L", *"123456")
        assert "123456" not in screen_text(pilot)
        await press(pilot, "enter")
        await settle(pilot)
        assert app.status.aws.health is Health.OK
