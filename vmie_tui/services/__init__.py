"""The outside world: AWS, vSphere, disks and this machine. The only code that talks to it."""
