"""Libraries that load when something of them is first used, and not when a module that names them is imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LateModule:
    """Stands for the module ``of``, or for what is at the dotted ``name`` in it, until something of it is used.

    boto3, pyVmomi and the like take 0.1 to 0.5 s to import; the app's first paint and ``--version`` need none of them,
    but import modules that do. Each library comes in at one seam: a module of its own that makes these.
    """

    def __init__(self, of: str, name: str = "") -> None:
        self.__of, self.__name = of, name

    def __getattr__(self, wanted: str) -> Any:
        found = import_module(self.__of)
        for name in filter(None, (*self.__name.split("."), wanted)):
            try:
                found = getattr(found, name)
            except AttributeError:
                try:
                    found = import_module(f"{found.__name__}.{name}")
                except ModuleNotFoundError:
                    raise AttributeError(f"{self.__of} has no {name}") from None
        setattr(self, wanted, found)
        return found
