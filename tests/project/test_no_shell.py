"""No program is started through a shell, anywhere: names from vCenter, AWS and disks would be its commands."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("vmie_tui", "tools", "benchmarks")
WORDS = ("subprocess", "os.system", "popen", "spawn", "exec", "pty", "shell", "os import")
STARTS = {"Popen", "run", "call", "check_call", "check_output", "create_subprocess_exec"}
SHELLS = {"getoutput", "getstatusoutput", "create_subprocess_shell", "system", "popen"}


def complaints(source: str) -> list[str]:
    """What of this code would start a shell, or a program by one string."""
    found: list[str] = []
    tree = ast.parse(source)
    mine = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "subprocess", "asyncio", "asyncio.subprocess"}
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        owner = (
            function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
        )
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        known = owner in {"os", "subprocess", "asyncio", "commands", "pty"} or (not owner and name in mine)
        if known and name in SHELLS:
            found.append(f"{node.lineno}: {name}")
        if any(word.arg == "shell" and not _is(word.value, False) for word in node.keywords):
            found.append(f"{node.lineno}: shell=")
        if known and name in STARTS and node.args and isinstance(node.args[0], ast.JoinedStr | ast.BinOp):
            found.append(f"{node.lineno}: one string")
        if known and name in STARTS and node.args and isinstance(getattr(node.args[0], "value", None), str):
            found.append(f"{node.lineno}: one string")
    return found


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nsubprocess.run(['ls'], shell=yes)",
        "import subprocess\nsubprocess.Popen(f'ls {x}')",
        "import subprocess\nsubprocess.check_output('ls')",
        "import subprocess\nsubprocess.call('ls ' + x)",
        "import os\nos.system(x)",
        "import os\nos.popen(x)",
        "from os import system\nsystem(x)",
        "from subprocess import getoutput as g, getoutput\ngetoutput(x)",
        "import asyncio\nasyncio.create_subprocess_shell(x)",
    ],
)
def test_the_search_finds_it(source: str) -> None:
    assert complaints(source)


def test_no_shell_anywhere() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 300
    texts = {path: path.read_text() for path in files}
    found = {
        str(path): wrong
        for path, text in texts.items()
        if any(word in text for word in WORDS) and (wrong := complaints(text))
    }
    assert found == {}
