"""Mode 5: replications, their forms and runs, the server catalogue, and cutover."""
