"""Disk images: their formats, reading and writing them, feeding uploads, and the guests on them."""
