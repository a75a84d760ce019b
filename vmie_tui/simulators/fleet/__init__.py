"""The machines and guests that the simulated vCenter starts with."""
