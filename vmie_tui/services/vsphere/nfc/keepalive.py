"""Keeps a lease alive from its own thread, and detects its loss."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.vsphere.errors import fault_name
from vmie_tui.services.vsphere.property_collector import properties
from vmie_tui.services.vsphere.session import VSphere, expired

EXPORT = "export"
# Errors that may pass before the lease's own time-out does.
_PASSING = (ErrorKind.NETWORK, ErrorKind.THROTTLED, ErrorKind.REMOTE)


class KeepAlive:
    """Reports progress every ``interval`` seconds over a connection of its own (trap 1).

    ``lease`` is the managed object on that connection. ``on_lost`` is called once, from the thread, with the reason.
    """

    def __init__(
        self,
        vsphere: VSphere,
        lease: Any,
        *,
        subject: str,
        interval: float,
        lease_timeout: float,
        on_lost: Callable[[ServiceError], None],
        what: str = EXPORT,
    ) -> None:
        self._vsphere, self._lease, self._subject = vsphere, lease, subject
        self._interval, self._patience, self._on_lost = interval, lease_timeout, on_lost
        self._what = what
        self._stop = threading.Event()
        self._looking = threading.Lock()
        self.fraction = 0.0
        self.lost: ServiceError | None = None
        self._answered = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"lease {subject}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; waits for a report in progress."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self.look(report=True)
            if self.lost is not None or self._stop.wait(self._interval):
                return

    def look(self, *, report: bool = False) -> ServiceError | None:
        """Reports progress and reads the lease's state now; returns the loss, if any."""
        with self._looking:
            if self.lost is not None or self._stop.is_set():
                return self.lost
            try:
                self._vsphere.once(lambda: self._ask(report), subject=self._subject)
            except ServiceError as error:
                self.lost = self._judge(error)
            else:
                self._answered = time.monotonic()
            lost = self.lost
        if lost is not None:
            self._on_lost(lost)
        return lost

    def _ask(self, report: bool) -> None:
        if report:
            self._lease.HttpNfcLeaseProgress(max(0, min(100, int(self.fraction * 100))))
        found = properties(self._vsphere, self._lease, "state", "error")
        if found.get("state") != "ready":
            raise lost_lease(self._subject, self._what, fault=found.get("error"))

    def _judge(self, error: ServiceError) -> ServiceError | None:
        """The loss that an error means; None when the lease may still live."""
        if error.problem.code == LOST:
            return error
        if error.kind in _PASSING and error.problem.retry_safe and error.problem.code != "Timedout":
            if time.monotonic() - self._answered < self._patience:
                return None
            return lost_lease(
                self._subject, self._what, detail=f"vCenter did not answer for {self._patience:.0f} s: {error}"
            )
        if expired(error):
            return ServiceError(
                ErrorKind.LOGIN,
                f"the vCenter session ended during the {self._what}, and the {self._what} lease with it",
                subject=self._subject,
                remedy=f"Log in again and repeat the {self._what}",
                retry_safe=True,
                code="NotAuthenticated",
            )
        return lost_lease(self._subject, self._what, detail=error.problem.detail or error.problem.what)


LOST = "LeaseLost"


def lost_lease(subject: str, what: str = EXPORT, *, fault: Any = None, detail: str = "") -> ServiceError:
    """The error for the lease of an export or import that vCenter ended; ``fault`` is its ``error`` property."""
    text = detail
    if fault is not None:
        text = str(getattr(fault, "msg", "") or fault_name(fault))
    return ServiceError(
        ErrorKind.CONFLICT,
        f"the {what} lease was lost",
        subject=subject,
        remedy=f"Somebody cancelled the {what} in vCenter, or vCenter heard nothing from here for too long: "
        "start again",
        retry_safe=True,
        code=LOST,
        detail=text.strip().rstrip("."),
    )
