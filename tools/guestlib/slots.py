"""Places on a template disk that a machine of the demo overwrites with what is its own: host name and network.

In Linux a slot is a whole file of a fixed length below 4 KiB, which any file system stores from the start of a block;
its last line is a comment that names it. In Windows it is a registry value. `find` gives the places on a disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from guestlib import linux
from guestlib.disks import data_ranges
from guestlib.filesystems import Tree

COMPUTER, ADDRESS = "HOSTNAME-SLOT-0", "000.000.000.000"  # as long as names and addresses can be
_HOSTNAME, _NETWORK, _BLOCK = 96, 384, 4096
_SLOT = re.compile(rb"# slot: ([a-z]+(?:/[a-z]+)?) -+\n")
_DHCP = b"EnableDHCP"


def _slot(name: str, text: str, length: int) -> str:
    head = f"{text}# slot: {name} "
    return head + "-" * (length - len(head) - 1) + "\n"


def linux_files(network: str) -> Tree:
    """/etc/hostname and the configuration of eth0 as slots; ``network`` as `linux.System` has it."""
    path, content = next((path, text) for path, text in linux.network(network).items() if "eth0" in f"{path}{text}")
    return {
        "etc/hostname": _slot("hostname", "localhost\n", _HOSTNAME),
        path: _slot(f"network/{network}", str(content), _NETWORK),
    }


def find(image: Path) -> dict[str, list[list[int]]]:
    """Slots by name: offset and length of each place on the disk."""
    found: dict[str, list[list[int]]] = {}
    for at, data in _stored(image):
        for match in _SLOT.finditer(data):
            start = at + match.start() // _BLOCK * _BLOCK
            found.setdefault(match[1].decode(), []).append([start, at + match.end() - start])
        for name, text in (("computer", COMPUTER), ("address", ADDRESS)):
            raw = text.encode("utf-16-le")
            found.setdefault(name, []).extend([at + m.start(), len(raw)] for m in re.finditer(re.escape(raw), data))
        if ADDRESS.encode("utf-16-le") in data:  # the value's data, 4 bytes, lies before its name (see `hive`)
            found.setdefault("dhcp", []).extend([at + m.start() - 12, 4] for m in re.finditer(_DHCP, data))
    return {name: places for name, places in found.items() if places}


def _stored(image: Path) -> Iterator[tuple[int, bytes]]:
    with image.open("rb") as file:
        for start, end in data_ranges(file.fileno(), image.stat().st_size):
            file.seek(start)
            yield start, file.read(end - start)
