"""Mode 2: jobs at work and done, one job in detail, its proof, and the AMI that it made."""
