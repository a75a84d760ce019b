"""The simulated vCenter's own controls under ``/_sim/``, beside those that both simulators have."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from vmie_tui.simulators.control import admin
from vmie_tui.simulators.fleet.content import seeded
from vmie_tui.simulators.vcenter.activity import Burst
from vmie_tui.simulators.vcenter.machine import Machine
from vmie_tui.simulators.vcenter.shared_state import Options
from vmie_tui.simulators.vcenter.trouble import Trouble
from vmie_tui.simulators.vcenter.world import World

Given = dict[str, Any]


class Controls:
    """Answers control requests.

    Guests that write: POST write {"vm", "bytes", "extents", "zeros": share, "key", "seed"} is a burst (or, with "key",
    "offset" and "data": base64, these bytes) and answers {"areas": [{"key", "offset", "length"}]}; POST writer {"vm",
    "every": seconds, ...} repeats it while the machine is on, or with "per_hour": bytes at each snapshot; GET writer
    tells the bursts so far, DELETE writer {"vm"} ends it, or without a machine all.

    POST witness {"on", "vm"} keeps what snapshots freeze; GET witness?vm=NAME lists them, oldest first; with
    &snapshot=NAME (or "last") {"disks": [{"key", "path", "capacity", "change_id"}]}; DELETE witness {"vm"} drops them.
    POST trouble {"vm", "kind"}: see `trouble.Trouble`.

    POST rate {"nfc": bytes per second or null}; POST options {Options field: value}; POST privileges
    {"revoke": name or "grant": name, "entity": id or name}; POST sessions ends all sessions; POST power {"vm",
    "state"}; POST remove {"vm"}; GET disks?vm=name gives key,
    label, capacity and the raw file's path of each disk. Everything else goes to `control.admin`.
    """

    def __init__(self, world: World, trouble: Trouble) -> None:
        self._world = world
        self._actions: dict[tuple[str, str], Callable[[Given], Given | None]] = {
            ("POST", "rate"): self._rate,
            ("POST", "options"): self._options,
            ("POST", "privileges"): self._privileges,
            ("POST", "sessions"): lambda given: world.expire_sessions(),
            ("POST", "power"): lambda given: world.set_power(given["vm"], given["state"]),
            ("POST", "remove"): lambda given: world.remove_machine(given["vm"]),
            ("POST", "write"): self._write,
            ("POST", "writer"): self._writer,
            ("GET", "writer"): lambda given: {"writers": world.activity.writers()},
            ("DELETE", "writer"): self._no_writer,
            ("POST", "witness"): self._watch,
            ("GET", "witness"): self._witnessed,
            ("DELETE", "witness"): self._forget,
            ("POST", "trouble"): trouble.make,
            ("GET", "disks"): self._disks,
        }

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Given]:
        """(HTTP status, JSON object)."""
        world = self._world
        action = self._actions.get((method, path.removeprefix("/_sim/")))
        if action is None:
            return admin(method, path, body, clock=world.clock, faults=world.faults, stats=world.stats)
        try:
            return 200, action({**query, **json.loads(body or b"{}")}) or {"ok": True}
        except (KeyError, TypeError, ValueError) as error:
            return 400, {"error": str(error)}

    def _rate(self, given: Given) -> None:
        self._world.options.nfc_rate = given["nfc"]

    def _options(self, given: Given) -> None:
        unknown = set(given) - {field.name for field in fields(Options)}
        if unknown:
            raise KeyError(f"no such option: {', '.join(sorted(unknown))}")
        for name, value in given.items():
            setattr(self._world.options, name, value)

    def _privileges(self, given: Given) -> None:
        if "revoke" in given:
            self._world.revoke(given["revoke"], given.get("entity"))
        if "grant" in given:
            self._world.grant(given["grant"], given.get("entity"))

    def _write(self, given: Given) -> Given:
        machine = self._world.machine(given["vm"])
        if "data" in given:
            content = base64.b64decode(given["data"])
            self._world.write_disk(machine.moid, given["key"], given["offset"], content)
            return {"areas": [{"key": given["key"], "offset": given["offset"], "length": len(content)}]}
        rng = seeded(str(given["seed"])) if "seed" in given else random.Random()  # noqa: S311 - made-up content
        return {"areas": [asdict(area) for area in self._world.activity.write(machine, _burst(given), rng)]}

    def _writer(self, given: Given) -> None:
        machine = self._world.machine(given["vm"])
        if "per_hour" in given:
            machine.writes = int(given["per_hour"])
            return
        self._world.activity.start(machine, float(given["every"]), _burst(given), str(given.get("seed", machine.moid)))

    def _no_writer(self, given: Given) -> None:
        self._world.activity.end(self._machine(given))

    def _machine(self, given: Given) -> Machine | None:
        return self._world.machine(given["vm"]) if given.get("vm") else None

    def _watch(self, given: Given) -> None:
        with self._world.center.registry.lock:
            self._world.witness.watch(self._machine(given), bool(given["on"]))

    def _witnessed(self, given: Given) -> Given:
        with self._world.center.registry.lock:
            machine = self._world.machine(given["vm"])
            if "snapshot" not in given:
                return {"snapshots": [kept.name for kept in self._world.witness.snapshots(machine)]}
            wanted = given["snapshot"]
            kept = self._world.witness.find(machine, "" if wanted == "last" else wanted)
            return {"name": kept.name, "snapshot": kept.moid, "disks": [frozen.told() for frozen in kept.disks]}

    def _forget(self, given: Given) -> None:
        with self._world.center.registry.lock:
            self._world.witness.drop(self._machine(given))

    def _disks(self, given: Given) -> Given:
        disks = self._world.machine(given["vm"]).disks
        return {
            "disks": [
                {"key": disk.key, "label": disk.label, "capacity": disk.capacity, "path": str(disk.content.path())}
                for disk in disks
            ]
        }


def _burst(given: Given) -> Burst:
    key = given.get("key")
    return Burst(
        int(given["bytes"]),
        int(given.get("extents", 1)),
        float(given.get("zeros", 0.0)),
        None if key is None else int(key),
    )
