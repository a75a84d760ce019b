"""Mode 6: the doctor's checks and their fixes, the guided first start, the choice of a profile."""
