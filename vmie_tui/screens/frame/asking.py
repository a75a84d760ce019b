"""What the app asks of the user to sign in again: the vCenter password, and the code of an MFA device."""

from __future__ import annotations

from typing import Any

from textual import work

from vmie_tui.model.errors import Problem
from vmie_tui.screens.setup.switching import Switching


class Asking(Switching):
    """An app that signs in; subclasses ask AWS who they are in `check_aws`."""

    def check_aws(self, mfa_code: str = "") -> Any:
        raise NotImplementedError

    @work(thread=False, exclusive=True, group="password", exit_on_error=False)
    async def ask_mfa_code(self, problem: Problem) -> None:
        from vmie_tui.screens.frame.password import PasswordScreen

        profile = self.backend.profile.aws_profile or "default"
        reason = f"{problem.what} {problem.subject}".strip()
        code = await self.push_screen_wait(PasswordScreen("AWS", profile, reason, asked="MFA code"))
        self.check_aws((code or "").strip())  # without one, too: it may have been typed in another terminal

    @work(thread=False, exclusive=True, group="password", exit_on_error=False)
    async def ask_password(self, reason: str = "") -> None:
        from vmie_tui.screens.frame.password import PasswordScreen
        from vmie_tui.screens.inventory.screen import InventoryScreen

        profile = self.backend.profile
        if not profile.vcenter:
            return
        password = await self.push_screen_wait(PasswordScreen(profile.vcenter, profile.vcenter_user, reason))
        if password is not None:
            self.backend.set_password(password)
            for screen in self.screen_stack:
                if isinstance(screen, InventoryScreen):
                    screen.action_refresh_inventory()
