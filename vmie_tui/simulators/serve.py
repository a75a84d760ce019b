"""The process that simulates: ``python -m vmie_tui.simulators.serve ROOT``; `both.py` has what it serves."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from vmie_tui.lazy_modules import load

BOTH = "vmie_tui.simulators.both:main"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or idleness; 1 when ROOT is served already."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # before moto is imported, which makes clients: the user's profile is nothing to them
    code: int = load(BOTH)(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
