"""The cookies of one session, kept by name: vCenter's own, and whatever a load balancer before it adds."""

from __future__ import annotations

import email.utils
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

SESSION = "vmware_soap_session"


class Cookies:
    """What one server set so far; any thread may use it.

    A value is sent back as it came, quotes included. Expiry dates only tell a cookie that is taken back: a session is
    over long before a balancer's own cookie ends.
    """

    def __init__(self, kept: Mapping[str, str] | None = None) -> None:
        self._kept: dict[str, str] = dict(kept or {})
        self._lock = threading.Lock()

    def take(self, headers: Iterable[str]) -> None:
        """Remember what the Set-Cookie headers of one answer say, each in a text of its own."""
        with self._lock:
            for header in headers:
                pair, *attributes = header.split(";")
                name, equals, value = pair.strip().partition("=")
                name, value = name.strip(), value.strip()
                if not equals or not name:
                    continue
                if value in ("", '""') or any(_ends(attribute) for attribute in attributes):
                    self._kept.pop(name, None)
                else:
                    self._kept[name] = value

    def forget_session(self) -> None:
        """Drops the session's cookie; a load balancer's stay, so that the next session reaches the same vCenter."""
        with self._lock:
            self._kept.pop(SESSION, None)

    def copy(self) -> Cookies:
        with self._lock:
            return Cookies(self._kept)

    def __str__(self) -> str:
        """The value of a Cookie header, "" without any."""
        with self._lock:
            return "; ".join(f"{name}={value}" for name, value in self._kept.items())


def _ends(attribute: str) -> bool:
    """Whether this attribute expires the cookie."""
    name, _, value = attribute.strip().partition("=")
    if name.lower() == "max-age":
        return value.strip().lstrip("-").isdigit() and int(value) <= 0
    if name.lower() == "expires":
        try:
            until = email.utils.parsedate_to_datetime(value.strip().replace("-", " "))
        except (TypeError, ValueError):
            return False
        return until.replace(tzinfo=until.tzinfo or UTC) <= datetime.now(UTC)
    return False
