"""What ``vmie-tui import`` finds of the AWS account its plans go to, and what its ``--dry-run`` says."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from vmie_tui.commands.common import finding_words, out, out_json, say
from vmie_tui.exit_codes import EXIT_OK, EXIT_REFUSED
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.rules.account import Account
from vmie_tui.operations.connections import read_only_aws
from vmie_tui.operations.import_check import Judged, check_accounts
from vmie_tui.services.aws.account import look_at_account
from vmie_tui.settings import Profile

PATIENCE = 30.0  # seconds; the job retries for longer, and says so in its log


def look_at_accounts(profile: Profile, plans: Sequence[ImportPlan]) -> tuple[tuple[Finding, ...], ...]:
    """The findings for each plan; of an account that cannot be looked at there are none, and that is said."""
    seen = check_accounts(plans, lambda plan: _look(profile, plan))
    if seen.problem is not None:
        say(f"the account could not be looked at: {seen.problem}")
    return seen.found


def _look(profile: Profile, plan: ImportPlan) -> Account:
    """`look_at_account` of an AWS that answers in time; raises ServiceError."""
    seen: list[Account] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with read_only_aws(profile) as aws:
                seen.append(look_at_account(aws, plan))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            failed.append(error)

    # A daemon: who has no network may go on, and the command may end, while botocore still tries.
    thread = threading.Thread(target=work, name="account", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if failed:
        raise failed[0]
    if not seen:
        raise ServiceError(ErrorKind.NETWORK, f"AWS has not answered within {PATIENCE:.0f} s", subject=plan.region)
    return seen[0]


def tell(judged: Sequence[Judged], *, as_json: bool) -> int:
    """Say what was found of each plan, and what it is; the exit code. Nothing is started."""
    refused = any(one.standing for one in judged)
    if as_json:
        out_json([_json(one) for one in judged])
        return EXIT_REFUSED if refused else EXIT_OK
    for one in judged:
        plan = one.plan
        out(f"{one.machine.name}: route {plan.route.value}, to {plan.region}")
        for finding in one.found:
            word = "forced" if finding in one.overridden else finding.severity.name.lower()
            out(f"  {word:<8} {finding_words(finding)}")
        if not one.found:
            out("  nothing found that stands in the way")
    return EXIT_REFUSED if refused else EXIT_OK


def _json(one: Judged) -> dict[str, Any]:
    return {
        "name": one.machine.name,
        "refused": bool(one.standing),
        "findings": [finding.to_json() for finding in one.found],
        "plan": one.to_start.to_json(),
    }
