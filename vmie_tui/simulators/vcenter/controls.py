"""The simulated vCenter's own controls under ``/_sim/``, beside those that both simulators have."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from vmie_tui.simulators.control import admin
from vmie_tui.simulators.vcenter.center import Options

if TYPE_CHECKING:
    from vmie_tui.simulators.vcenter.server import VCenterSimulator

Given = dict[str, Any]


class Controls:
    """Answers control requests.

    POST rate {"nfc": bytes per second or null}; POST options {Options field: value}; POST privileges
    {"revoke": name or "grant": name, "entity": id or name}; POST sessions ends all sessions; POST power {"vm",
    "state"}; POST remove {"vm"}; POST write {"vm", "key", "offset", "data": base64}; GET disks?vm=name gives key,
    label, capacity and the raw file's path of each disk. Everything else goes to `control.admin`.
    """

    def __init__(self, simulator: VCenterSimulator) -> None:
        self._sim = simulator
        self._actions: dict[tuple[str, str], Callable[[Given], Given | None]] = {
            ("POST", "rate"): self._rate,
            ("POST", "options"): self._options,
            ("POST", "privileges"): self._privileges,
            ("POST", "sessions"): lambda given: simulator.expire_sessions(),
            ("POST", "power"): lambda given: simulator.set_power(given["vm"], given["state"]),
            ("POST", "remove"): lambda given: simulator.remove_machine(given["vm"]),
            ("POST", "write"): self._write,
            ("GET", "disks"): self._disks,
        }

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Given]:
        """(HTTP status, JSON object)."""
        sim = self._sim
        action = self._actions.get((method, path.removeprefix("/_sim/")))
        if action is None:
            return admin(method, path, body, clock=sim.clock, faults=sim.faults, stats=sim.stats)
        try:
            return 200, action({**query, **json.loads(body or b"{}")}) or {"ok": True}
        except (KeyError, TypeError, ValueError) as error:
            return 400, {"error": str(error)}

    def _rate(self, given: Given) -> None:
        self._sim.options.nfc_rate = given["nfc"]

    def _options(self, given: Given) -> None:
        unknown = set(given) - {field.name for field in fields(Options)}
        if unknown:
            raise KeyError(f"no such option: {', '.join(sorted(unknown))}")
        for name, value in given.items():
            setattr(self._sim.options, name, value)

    def _privileges(self, given: Given) -> None:
        if "revoke" in given:
            self._sim.revoke(given["revoke"], given.get("entity"))
        if "grant" in given:
            self._sim.grant(given["grant"], given.get("entity"))

    def _write(self, given: Given) -> None:
        self._sim.write_disk(given["vm"], given["key"], given["offset"], base64.b64decode(given["data"]))

    def _disks(self, given: Given) -> Given:
        disks = self._sim.machine(given["vm"]).disks
        return {
            "disks": [
                {"key": disk.key, "label": disk.label, "capacity": disk.capacity, "path": str(disk.content.path())}
                for disk in disks
            ]
        }
