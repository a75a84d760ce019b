"""An export, step by step: task, download, conversion, deployment into vCenter; `flow.py` has the order."""
