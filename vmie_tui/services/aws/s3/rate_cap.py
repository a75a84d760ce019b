"""How fast a profile may send: one token bucket for all transfers of this process that share its AWS settings."""

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
        """How many may send side by side so that none is silent for long: a service gives up on those."""
        return max(1, min(wanted, int(self.rate // piece)))


_caps: dict[AwsSettings, RateCap] = {}
_lock = threading.Lock()


def cap_of(settings: AwsSettings) -> RateCap | None:
    """The cap that all transfers with these settings share; None when they may send as fast as they can."""
    if not settings.max_rate:
        return None
    with _lock:
        return _caps.setdefault(settings, RateCap(settings.max_rate))
