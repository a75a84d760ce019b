"""The import wizard: source, route, licence, target, account check, review."""
