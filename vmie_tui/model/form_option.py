"""An answer that can be chosen in a form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    value: str
    label: str
    note: str = ""  # shown behind the label
    refused: str = ""  # why it cannot be chosen
