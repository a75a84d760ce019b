"""Bandwidth limit: one token bucket for all transfers of this process that share a profile's AWS settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from vmie_tui.services.pacing import TokenBucket
from vmie_tui.settings import AwsSettings

BURST_SECONDS = 0.5  # what was not used for so long may be made up for


class RateCap(TokenBucket):
    """``rate`` is bytes a second."""

    def __init__(self, rate: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(rate, credit=BURST_SECONDS, clock=clock)

    def connections(self, wanted: int, piece: int) -> int:
        """How many connections may send in parallel without any idling so long that the service drops it."""
        return max(1, min(wanted, int(self.rate // piece)))


_caps: dict[AwsSettings, RateCap] = {}
_lock = threading.Lock()


def cap_of(settings: AwsSettings) -> RateCap | None:
    """The cap shared by all transfers with these settings; None for unlimited."""
    if not settings.max_rate:
        return None
    with _lock:
        return _caps.setdefault(settings, RateCap(settings.max_rate))
