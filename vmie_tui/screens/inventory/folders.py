"""The tree of datacenters, folders and clusters; choosing a branch shows the VMs below it alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from vmie_tui.model.machine import Machine
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.machines import Scope
from vmie_tui.widgets.text import clean


def branches(machines: Iterable[Machine]) -> Counter[Scope]:
    """How many VMs each datacenter, folder and cluster holds, branches below included."""
    count: Counter[Scope] = Counter()
    for machine in machines:
        for depth in range(len(machine.folder) + 1):
            count[Scope(machine.datacenter, machine.folder[:depth])] += 1
        if machine.cluster:
            count[Scope(machine.datacenter, cluster=machine.cluster)] += 1
    return count


class FolderScreen(ModalScreen[Scope | None]):
    """Dismisses with the chosen branch, an empty `Scope` for everything, or None when nothing was chosen."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,t,q", "dismiss(None)", "Close"),
        Binding("j", "move(1)", "Down"),
        Binding("k", "move(-1)", "Up"),
    ]

    def __init__(self, machines: Sequence[Machine]) -> None:
        super().__init__()
        self._machines = machines

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static("Show the VMs of…", id="title")
            tree: Tree[Scope] = Tree(Text(f"Everything  {len(self._machines):,}"), data=Scope(), id="tree")
            yield tree
            yield Static("enter shows a branch   space opens it   esc closes", id="hint")

    def on_mount(self) -> None:
        tree: Tree[Scope] = self.query_one("#tree", Tree)
        tree.auto_expand = False
        tree.guide_depth = 2
        tree.root.expand()
        nodes: dict[Scope, TreeNode[Scope]] = {}
        count = branches(self._machines)
        for scope in sorted(count, key=lambda s: (s.datacenter.casefold(), s.cluster != "", s.cluster, s.folder)):
            if scope.folder:
                parent, name = nodes[Scope(scope.datacenter, scope.folder[:-1])], scope.folder[-1]
            elif scope.cluster:
                parent, name = nodes[Scope(scope.datacenter)], f"cluster {scope.cluster}"
            else:
                parent, name = tree.root, scope.datacenter or "(no datacenter)"
            label = Text.assemble(clean(name), (f"  {count[scope]:,}", "dim"))
            nodes[scope] = parent.add(label, scope, expand=not scope.folder)
        for node in nodes.values():
            node.allow_expand = bool(node.children)
        tree.focus()

    def action_move(self, step: int) -> None:
        tree = self.query_one("#tree", Tree)
        if step > 0:
            tree.action_cursor_down()
        else:
            tree.action_cursor_up()

    def on_tree_node_selected(self, event: Tree.NodeSelected[Scope]) -> None:
        self.dismiss(event.node.data)
