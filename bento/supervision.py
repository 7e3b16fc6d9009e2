"""How soon BentoML's supervisor starts a worker again that died."""

from __future__ import annotations

import functools

from bentoml._internal.utils import circus

LOOK_S = 1.0


def look_often() -> None:
    """Have the supervisor look after its workers every `LOOK_S` seconds; BentoML's own 10 s are not for setting.

    With one worker that is how long nobody answers. To be called before the supervisor is made.
    """
    make = circus.create_standalone_arbiter
    if not isinstance(make, functools.partial):
        circus.create_standalone_arbiter = functools.partial(make, check_delay=LOOK_S)
