"""Heavy libraries load when needed and not before: the first paint depends on it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("boto3", "botocore", "pyVmomi", "dbos", "moto", "sqlalchemy")


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("vmie_tui.cli", (*HEAVY, "textual", "keyring")),
        ("vmie_tui.app", HEAVY),
        ("vmie_tui.model.rules", (*HEAVY, "textual", "click", "platformdirs")),
        ("vmie_tui.operations.jobs", ("textual", "boto3", "pyVmomi", "dbos")),
        ("vmie_tui.jobs.worker", ("textual", "boto3", "pyVmomi", "dbos", "moto")),
    ],
)
def test_importing_stays_light(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(sorted(set({forbidden!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_importing_every_service_stays_light() -> None:
    code = (
        "import importlib, pkgutil, sys, vmie_tui.services as services\n"
        "for found in pkgutil.walk_packages(services.__path__, 'vmie_tui.services.'):\n"
        "    importlib.import_module(found.name)\n"
        f"print(len(sys.modules) > 100, sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True []"
