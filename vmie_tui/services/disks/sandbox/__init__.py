"""Calls parsers of foreign bytes in a sandboxed child process, with limits on time, memory and open files."""
