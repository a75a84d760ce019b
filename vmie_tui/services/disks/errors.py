"""Errors of disk formats: one exception type, and the messages that several readers share."""

from __future__ import annotations

from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError


class DiskFormatError(ServiceError):
    """A disk image that is damaged (kind CORRUPT) or not of a kind this program can use (kind INVALID)."""


def corrupt(what: str, *, fact: str = "") -> DiskFormatError:
    """The image is inconsistent; ``fact`` is the id of the documented AWS error for such an image."""
    remedy = "Export or convert the disk again; the same bytes will fail the same way"
    return DiskFormatError(ErrorKind.CORRUPT, what, remedy=remedy, **(documented(fact) if fact else {}))


def documented(fact: str) -> dict[str, Any]:
    """Code, detail and facts of the documented AWS error for such an image."""
    known = facts.error(fact)
    return {"code": known["code"], "detail": known["message"], "facts": (fact,)}


def truncated(what: str, *, received: bool = False) -> DiskFormatError:
    """The image is cut short; reading it again may give all of it.

    ``received``: they come from a host that sends them now, and are no file that somebody copied.
    """
    return DiskFormatError(
        ErrorKind.CORRUPT,
        what,
        remedy="Run the transfer again; if it stops at the same place, look at the host that sends it"
        if received
        else "Copy it again; if the original is as short, export the disk again",
        retry_safe=True,
    )


def unsupported(what: str) -> DiskFormatError:
    """A VMDK that VM Import does not accept (documented error E04)."""
    remedy = "Convert it to a streamOptimized VMDK and try again"
    return DiskFormatError(ErrorKind.INVALID, what, remedy=remedy, **documented("E04"))


def difference(what: str) -> DiskFormatError:
    """A snapshot's delta disk, which is unusable without its parent."""
    return DiskFormatError(
        ErrorKind.INVALID,
        what,
        remedy="Consolidate the VM's snapshots, or clone the disk, and use the result",
    )


def one_of_many(why: str) -> DiskFormatError:
    """One extent given as if it were the whole disk; ``why``: how we know."""
    return DiskFormatError(
        ErrorKind.INVALID,
        f"it is one extent of a VMDK, not the whole disk: {why}",
        remedy="Give the disk's descriptor, the small .vmdk file that names its extents, with all of them beside it",
    )
