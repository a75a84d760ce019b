"""Work on strangers' bytes in a child process with limits on time, memory and files."""
