"""What the format of an image file says about its import. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import humanize

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity


def check_image(format: str, capacity: int, subject: str = "") -> tuple[Finding, ...]:
    """Findings about an image of ``format`` (as ``DiskInfo`` names it) with a disk of ``capacity`` bytes."""
    return (*_format(format, subject), *_size(capacity, subject))


def _format(format: str, subject: str) -> Iterator[Finding]:
    if format in {"vmdk-sparse", "vmdk-descriptor"}:
        kind = "is not compressed" if format == "vmdk-sparse" else "is a descriptor whose data is in other files"
        yield Finding(
            Severity.BLOCKER, f"the VMDK is not stream-optimized: it {kind}", subject,
            "VM import takes streamOptimized VMDKs only", facts.error("E04")["message"],
            "Convert it (ovftool, qemu-img convert -O vmdk -o subformat=streamOptimized)", "IC9",
            "not-stream-optimized",
        )  # fmt: skip


def _size(capacity: int, subject: str) -> Iterator[Finding]:
    most = facts.limit("import", "import_image_disk_max")["value_tib"]
    top = facts.limit("import", "disk_image_size_max")["value_tib"]
    size = humanize.naturalsize(capacity, binary=True)
    if capacity >= top * facts.TIB:
        yield Finding(
            Severity.BLOCKER, f"the disk has {size}", subject, f"No way of VM import takes {top} TiB", "", "Split it",
            "F118", "too-large",
        )  # fmt: skip
    elif capacity >= most * facts.TIB:
        yield Finding(
            Severity.BLOCKER, f"the disk has {size}", subject, f"ImportImage takes less than {most} TiB", "",
            "Import it as a snapshot", "F119", "too-large",
        )  # fmt: skip
