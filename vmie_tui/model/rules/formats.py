"""Which image formats each process takes, and which kinds of them it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.plan import Route

# the table of the facts that describes each route's call
_PROCESS = {
    Route.IMAGE: "import_image",
    Route.UNMODIFIED: "import_without_modification",
    Route.SNAPSHOT: "import_snapshot",
    Route.INSTANCE: "import_instance",
}
_STREAM = "streamOptimized"
_NAMES = {"IMG": "RAW", "BIN": "RAW", "VPC": "VHD"}


@cache
def formats_of(route: Route) -> tuple[str, ...]:
    """The formats an upload on this route may have; none for image-direct, which writes blocks and uploads no file."""
    if route not in _PROCESS:
        return ()
    listed = facts.load("formats")["image_formats"][_PROCESS[route]]["formats"]
    return tuple(str(item["name"] if isinstance(item, dict) else item) for item in listed)


def check_format(
    route: Route, format_name: str, *, kind: str = "", disks: int = 1, subject: str = ""
) -> Iterator[Finding]:
    """A file against a route. ``kind`` is the format's own subtype: a VMDK's createType; fixed, dynamic, differencing.

    ``disks``: how many disks the machine has that are given as such files.
    """
    name = _NAMES.get(format_name.upper(), format_name.upper())
    taken = formats_of(route)
    if not taken:
        return
    if name not in taken:
        yield Finding(
            Severity.BLOCKER,
            f"{name or 'an unknown format'} is not taken here",
            subject,
            f"This process takes {', '.join(taken)}",
            str(facts.error("E07" if route is Route.INSTANCE else "E01")["message"]),
            "Convert it" if name not in {"OVA"} else "Import it as an image",
            "F024" if route is not Route.SNAPSHOT else "F243",
        )
        return
    if name == "VMDK" and kind and kind != _STREAM:
        yield Finding(
            Severity.BLOCKER,
            f"this VMDK is {kind}, not stream-optimized",
            subject,
            "Only VMDKs as vSphere exports them are read",
            str(facts.error("E04")["message"]),
            "Export it from vCenter, or convert it to a stream-optimized VMDK",
            "F030",
        )
    if name in {"VHD", "VHDX"} and kind == "differencing":
        yield Finding(
            Severity.BLOCKER,
            f"this {name} holds only differences to another disk",
            subject,
            "",
            str(facts.error("E09")["message"]),
            "Merge it with its parent, and export it again",
            "F041",
        )
    if disks > 1 and route is Route.INSTANCE:
        yield Finding(
            Severity.BLOCKER,
            f"instance import takes one disk, not {disks}",
            subject,
            remedy="Import it as an image",
            fact="F025",
        )
