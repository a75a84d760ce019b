"""The profiles in the user's AWS files."""

from __future__ import annotations

import botocore.session
from botocore.exceptions import BotoCoreError


def known_profiles() -> tuple[tuple[str, str], ...]:
    """(name, Region) of each; Region empty where the files set none. None at all while the files cannot be read."""
    session = botocore.session.Session()
    try:
        known = session.full_config.get("profiles", {})
        return tuple((name, str(known.get(name, {}).get("region", ""))) for name in session.available_profiles)
    except (BotoCoreError, OSError):
        return ()
