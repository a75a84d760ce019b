"""Helpers for talking to the simulated vCenter with plain pyVmomi."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyVim.connect import SmartConnect
from pyVmomi import vim, vmodl

from tests.kits.waiting import wait_until
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.simulators.vcenter.server import VCenterSimulator

PC = vmodl.query.PropertyCollector
QUICK: dict[str, Any] = {"task_seconds": 0.0, "lease_seconds": 0.0, "shutdown_seconds": 0.0}


def tls_context(sim: VCenterSimulator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(sim.tls.ca))


def login(sim: VCenterSimulator, password: str | None = None) -> Any:
    """A ServiceInstance, as anyone gets one."""
    return SmartConnect(
        host="localhost", port=sim.port, user=sim.user, pwd=password or sim.password, sslContext=tls_context(sim)
    )


def view_spec(si: Any, kind: Any, *paths: str) -> Any:
    """A filter over every object of a class below the root folder."""
    content = si.content
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    walk = PC.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
    start = PC.ObjectSpec(obj=view, skip=True, selectSet=[walk])
    return PC.FilterSpec(objectSet=[start], propSet=[PC.PropertySpec(type=kind, pathSet=list(paths))])


def read_all(si: Any, kind: Any, *paths: str, page: int | None = None) -> list[Any]:
    """ObjectContent of all objects, page after page."""
    collector = si.content.propertyCollector
    answer = collector.RetrievePropertiesEx([view_spec(si, kind, *paths)], PC.RetrieveOptions(maxObjects=page))
    found: list[Any] = []
    while answer is not None:
        found += answer.objects
        answer = collector.ContinueRetrievePropertiesEx(answer.token) if answer.token else None
    return found


def machine(si: Any, name: str) -> Any:
    """The managed object of a machine by name."""
    return next(one.obj for one in read_all(si, vim.VirtualMachine, "name") if one.propSet[0].val == name)


def finish(task: Any) -> Any:
    """A task's result; raises its error."""
    info = wait_until(lambda: (found := task.info).state in ("success", "error") and found, what="the task's end")
    if info.error is not None:
        raise info.error
    return info.result


def ready(lease: Any) -> Any:
    """The lease, once it is no longer initializing."""
    wait_until(lambda: lease.state != "initializing", what="the lease")
    return lease


def get(sim: VCenterSimulator, url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    """(status, headers, body) of one HTTPS request to the simulator; raises http.client's errors."""
    place = urlsplit(url)
    connection = http.client.HTTPSConnection("localhost", place.port or sim.port, context=tls_context(sim), timeout=20)
    try:
        target = place.path + (f"?{place.query}" if place.query else "")
        connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def decode(stream: bytes, capacity: int) -> bytes:
    """The raw content of a streamOptimized VMDK."""
    content = bytearray(capacity)

    def grain(offset: int, data: memoryview) -> None:
        kept = min(len(data), capacity - offset)
        content[offset : offset + kept] = data[:kept]

    decoder = StreamDecoder(grain)
    decoder.feed(stream)
    decoder.finish()
    return bytes(content)


def raw(path: Path) -> bytes:
    return path.read_bytes()


def disks(lease: Any) -> list[Any]:
    return [url for url in lease.info.deviceUrl if url.disk]
