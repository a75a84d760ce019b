"""vmie-tui: move virtual machines between VMware vCenter and Amazon EC2 from a terminal."""

__version__ = "0.2.0"
