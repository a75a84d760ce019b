"""botocore's data files, parsed once a process and not once a session: EC2's alone takes half a second of CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

_parsed: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _shared() -> None:
    """Let all sessions share what was parsed, as the clients of one session do; once botocore is loaded."""
    loaders: Any = sys.modules.get("botocore.loaders")
    if loaders is None or getattr(loaders.JSONFileLoader, "shared", False):
        return
    load = loaders.JSONFileLoader.load_file
    shipped = str(Path(loaders.__file__).parent)

    def load_once(self: Any, file_path: str) -> Any:
        if not file_path.startswith(shipped):  # a test's own files may change
            return load(self, file_path)
        if file_path not in _parsed:
            _parsed[file_path] = load(self, file_path)
        return _parsed[file_path]

    loaders.JSONFileLoader.load_file, loaders.JSONFileLoader.shared = load_once, True
