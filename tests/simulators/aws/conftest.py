"""The simulated vCenter and AWS for the tests of this folder."""

from tests.kits.simulated_services import aws, shared  # noqa: F401
