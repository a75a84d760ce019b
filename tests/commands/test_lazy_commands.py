"""The lists of commands: what each says of itself stands in a table, so that a list imports none of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vmie_tui.commands.replicate.group import COMMANDS as REPLICATE
from vmie_tui.commands.root import COMMANDS
from vmie_tui.lazy_modules import load


@pytest.mark.parametrize("commands", [COMMANDS, REPLICATE], ids=["vmie-tui", "replicate"])
def test_the_list_says_what_each_command_says(commands: dict[str, tuple[str, str]]) -> None:
    for name, (place, said) in commands.items():
        command = load(f"vmie_tui.commands.{place}")
        assert (command.name, command.get_short_help_str(1000)) == (name, said)


@pytest.mark.parametrize("words", [["--help"], ["replicate", "--help"]])
def test_the_list_imports_no_command(words: list[str]) -> None:
    script = (
        f"import sys\nfrom vmie_tui.cli import main\nassert main({words!r}) == 0\n"
        "assert not {'vmie_tui.operations.jobs', 'vmie_tui.commands.tasks', 'moto'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "  list " in done.stdout if "replicate" in words else "  replicate " in done.stdout
