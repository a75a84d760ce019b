"""A replication: the scheduler, one run step by step, retention, cutover and removal."""
