"""The feed of an upload from a host's stream; it moved to `services.disks.tee`, where the other feeds are."""

from __future__ import annotations

from vmie_tui.services.disks.tee import DiskFeed

__all__ = ["DiskFeed"]
