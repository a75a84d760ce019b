"""An import, step by step: check, snapshot, upload, conversion, AMI, clean-up; `flow.py` has the order."""
