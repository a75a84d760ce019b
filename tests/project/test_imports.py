"""Modules can be loaded by several threads at once: no package loads its own modules, and no two load each other.

A thread that loads ``package.module`` holds that module's lock while it waits for the package. If the package, loading
in another thread, wants the module, Python breaks the tie by handing out a module that is half made.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import vmie_tui

ROOT = Path(vmie_tui.__file__).parent


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in ROOT.rglob("*.py")}


def at_load(body: list[ast.stmt]) -> Iterator[str]:
    """The modules of ours that are imported when this one is loaded: not in functions, not for type checking."""
    for node in body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vmie_tui"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from at_load([*node.body, *node.orelse])
        elif isinstance(node, ast.ClassDef | ast.Try | ast.With):
            yield from at_load(node.body)


GRAPH = {name: set(at_load(ast.parse(path.read_text()).body)) for name, path in MODULES.items()}


def test_no_package_loads_its_own_modules() -> None:
    packages = [name for name, path in MODULES.items() if path.name == "__init__.py"]
    assert len(packages) > 10
    guilty = {name: own for name in packages if (own := {m for m in GRAPH[name] if m.startswith(f"{name}.")})}
    assert not guilty


def test_no_two_modules_load_each_other() -> None:
    try:
        order = list(TopologicalSorter(GRAPH).static_order())
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
    assert len(order) >= len(MODULES)


def in_functions(node: ast.AST, inside: bool = False) -> Iterator[tuple[int, str]]:
    """(line, module of ours) of every import inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom) and inside:
            names = [child.module or ""] if isinstance(child, ast.ImportFrom) else [alias.name for alias in child.names]
            yield from ((child.lineno, name) for name in names if name.partition(".")[0] == "vmie_tui")
        yield from in_functions(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def test_no_function_imports_a_module_of_ours() -> None:
    """Such an import is a circle in disguise: the linter takes it for one, and a reader does not see it."""
    late = {
        f"{name}:{line}": module
        for name, path in MODULES.items()
        for line, module in in_functions(ast.parse(path.read_text()))
    }
    assert late == {}
    hidden = ast.parse("def f():\n    from vmie_tui.model import facts\n\nfrom vmie_tui.model import plan")
    assert list(in_functions(hidden)) == [(2, "vmie_tui.model")]


def test_every_folder_says_in_one_sentence_what_it_holds() -> None:
    packages = {name: path for name, path in MODULES.items() if path.name == "__init__.py"}
    silent = [name for name, path in packages.items() if len(ast.get_docstring(ast.parse(path.read_text())) or "") < 20]
    assert len(packages) > 30
    assert silent == []


def test_threads_load_what_the_screens_load() -> None:
    """The modules the screens' workers import at the app's start, all at once, in a fresh process."""
    script = """
import importlib, sys, threading
names, failed = sys.argv[1:], []
barrier = threading.Barrier(len(names))
def load(name):
    barrier.wait()
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed.append(f"{name}: {error!r}")
threads = [threading.Thread(target=load, args=(name,)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit("\\n".join(failed) or 0)
"""
    names = ["rules.exports", "rules.machine", "rules.plan", "rules.routes", "rules.licensing", "explain"]
    wanted = [f"vmie_tui.model.{name}" for name in names]
    wanted += ["vmie_tui.services.vsphere.inventory", "vmie_tui.services.aws.ec2.exportable"]
    wanted += ["vmie_tui.operations.jobs"]
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", script, *wanted], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
