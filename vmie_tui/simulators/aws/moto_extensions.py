"""Adds API operations to moto: functions that become methods of its response classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from vmie_tui.simulators.aws.moto_bridge import ENVIRON_KEY

Operation = Callable[[Any, Any], ActionResult]  # (moto's response object, the simulator)


def install(operations: Iterable[Operation], responses: type[Any] = EC2Response) -> None:
    """Let EC2, or the service of ``responses``, answer these calls; a function's name is the operation's in snake case.

    Twice is the same as once.
    """

    def method(function: Operation) -> Callable[[Any], ActionResult]:
        def call(self: Any) -> ActionResult:
            return function(self, self.normalized_request.environ[ENVIRON_KEY])

        return call

    for function in operations:
        setattr(responses, function.__name__, method(function))


def refuse(code: str, message: str) -> EC2ClientError:
    """The EC2 error to raise."""
    return EC2ClientError(code, message)
