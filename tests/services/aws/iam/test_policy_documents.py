"""What IAM policies together allow."""

from __future__ import annotations

from typing import Any

import pytest

from vmie_tui.services.aws.iam.policy_documents import allows

MAY = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}
MAY_NOT = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
SOMETIMES = {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "a"}}}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], False),
        ([MAY], True),
        ([MAY | SOMETIMES], True),
        ([MAY, MAY_NOT], False),
        ([MAY_NOT, MAY], False),
        ([MAY_NOT | SOMETIMES, MAY], True),
        ([MAY_NOT | SOMETIMES], False),
    ],
    ids=["nothing", "allowed", "allowed sometimes", "denied", "denied first", "denied sometimes", "never allowed"],
)
def test_a_deny_without_conditions_wins(statements: list[dict[str, Any]], expected: bool) -> None:
    assert allows([{"Statement": [one]} for one in statements], "s3:GetObject", "arn:aws:s3:::b/k") is expected
