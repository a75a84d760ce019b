"""EBS direct: snapshots read and written block by block."""
