"""Durable jobs, carried out by the worker process: imports, exports, replication runs. Knows no screen or command."""
