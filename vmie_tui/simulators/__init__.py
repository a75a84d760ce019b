"""A vCenter and an AWS on loopback, for the demo, the tests and training. They stand alone."""
