"""Troubles of the machine, and not of the project: a full disk, a state folder that cannot be written."""

from __future__ import annotations

import errno
from collections.abc import Iterator

FULL, READ_ONLY, FORBIDDEN = "no space left", "a read-only file system", "no permission"
CODES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.ENOTDIR: "a file in place of a folder",
    errno.EEXIST: "a file in place of a folder",
    errno.EISDIR: "a folder in place of a file",
    errno.EIO: "a read or write error of the disk",
}
WORDS = {
    "database or disk is full": FULL,
    "No space left on device": FULL,
    "readonly database": READ_ONLY,
    "Read-only file system": READ_ONLY,
    "unable to open database file": FORBIDDEN,
    "Permission denied": FORBIDDEN,
    "disk I/O error": CODES[errno.EIO],
}


def sentence(error: BaseException) -> str | None:
    """What to tell of an error that a disk or a folder is behind; None where it is something else.

    Libraries wrap such errors in their own, or keep no more of them than their words.
    """
    from perennial.home import home

    stacks = home().root / "stacks"
    for cause in _causes(error):
        if isinstance(cause, FileNotFoundError) and str(cause.filename).startswith(str(stacks)):
            return f"expected the output of an earlier step at {cause.filename}, found none; train with --no-cache"
        found = CODES.get(cause.errno or 0) if isinstance(cause, OSError) else None
        found = found or next((told for words, told in WORDS.items() if words in str(cause)), None)
        if found:
            place = getattr(cause, "filename", None) or home().root
            remedy = "free some space" if found == FULL else "mend it, or point PERENNIAL_HOME elsewhere"
            return (
                f"expected to read and write {place}, found {found}; {remedy} and run the same command again"
            )
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
