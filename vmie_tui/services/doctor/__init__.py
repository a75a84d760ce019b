"""Doctor: is everything there that VM import, export and vCenter need, and what would put it right."""
