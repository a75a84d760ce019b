"""What every kind of job runs on: phases and steps, the worker's process, control, retries, outcomes."""
