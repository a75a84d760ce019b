"""Sources of an upload's bytes: a host's stream, or a disk in the requested format, hashed in passing."""
