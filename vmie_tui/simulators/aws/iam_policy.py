"""IAM's evaluation of policies, as far as the simulated services need it: effects, wildcards, conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Context = Mapping[str, str]
_PLAIN = {"stringequals", "stringequalsignorecase", "stringlike", "arnlike", "arnequals", "bool"}


def decide(statements: Iterable[Mapping[str, Any]], action: str, resource: str, context: Context | None = None) -> str:
    """allowed, explicitDeny or implicitDeny, as IAM's simulation names them."""
    effects = {one.get("Effect") for one in statements if _fits(one, action, resource, context or {})}
    return "explicitDeny" if "Deny" in effects else "allowed" if "Allow" in effects else "implicitDeny"


def denied_to_everybody(policy: str, action: str, resource: str, context: Context) -> bool:
    """Whether a resource's own policy, as JSON, explicitly denies the action to every principal."""

    def everybody(principal: Any) -> bool:
        return "*" in listed(principal.get("AWS") if isinstance(principal, dict) else principal)

    statements = [one for one in listed(json.loads(policy).get("Statement")) if everybody(one.get("Principal"))]
    return decide(statements, action, resource, context) == "explicitDeny"


def listed(value: Any) -> list[Any]:
    """IAM writes one value or a list of them."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _fits(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    actions = (str(item) for item in listed(statement.get("Action")))
    resources = (str(item) for item in listed(statement.get("Resource")))
    return (
        any(_match(pattern.lower(), action.lower()) for pattern in actions)
        and any(_match(pattern, resource) for pattern in resources)
        and all(_holds(operator, tests, context) for operator, tests in (statement.get("Condition") or {}).items())
    )


def _holds(operator: str, tests: Mapping[str, Any], context: Context) -> bool:
    """Whether a condition holds; an operator that is not simulated does not."""
    name = operator.lower()
    wanted = {key.lower(): [str(value) for value in listed(values)] for key, values in tests.items()}
    if name == "null":
        return all(str(key not in context).lower() in map(str.lower, values) for key, values in wanted.items())
    optional, name = name.endswith("ifexists"), name.removesuffix("ifexists")
    negated, name = "not" in name, name.replace("not", "")
    if name not in _PLAIN:
        return False
    for key, values in wanted.items():
        if key not in context:
            if not (negated or optional):
                return False
        elif any(_equal(name, value, context[key]) for value in values) is negated:
            return False
    return True


def _equal(name: str, pattern: str, value: str) -> bool:
    if name in {"stringlike", "arnlike", "arnequals"}:
        return _match(pattern, value)
    return pattern == value if name == "stringequals" else pattern.lower() == value.lower()


def _match(pattern: str, text: str) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None
