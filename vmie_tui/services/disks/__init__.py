"""Disk images, as streams and by ranges: formats, the streams between them, the guests on them."""
