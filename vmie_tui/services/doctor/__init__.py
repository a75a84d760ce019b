"""Doctor: checks everything that VM Import, VM Export and vCenter need, and proposes fixes."""
