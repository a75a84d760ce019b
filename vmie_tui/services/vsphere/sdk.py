"""The one seam to pyVmomi: loaded at first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmie_tui.services.lazy_libraries import LateModule

if TYPE_CHECKING:
    import pyVmomi
    from pyVmomi import vim, vmodl

    PC: Any = vmodl.query.PropertyCollector
else:
    pyVmomi = LateModule("pyVmomi")  # noqa: N816 - its own name
    vim, vmodl = LateModule("pyVmomi", "vim"), LateModule("pyVmomi", "vmodl")
    PC = LateModule("pyVmomi", "vmodl.query.PropertyCollector")

__all__ = ["PC", "pyVmomi", "vim", "vmodl"]
