"""A program of its own that sends messages, so that no address can hang a run or leak into its logs.

Reads `{"within_s": ..., "jobs": [{"url", "title", "body", "recovered"}, ...]}` from standard input, where
addresses cannot be seen by other users of the machine. Writes a line per job as soon as it is settled:
`{"job": 0, "service": "Slack", "known": true, "sent": true, "status": ""}`. It imports nothing of Perennial.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import threading
from typing import Any

STATUS = re.compile(r"\berror=(\d{3})\b")


def main() -> None:
    """Sends every job at once, and dies of an alarm where one outlives the time for all."""
    asked = json.load(sys.stdin)
    signal.alarm(math.ceil(asked["within_s"]))
    threads = [
        threading.Thread(target=settle, args=(n, job), name=str(n)) for n, job in enumerate(asked["jobs"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def settle(number: int, job: dict[str, Any]) -> None:
    """Sends one message and writes what became of it; of the sender's log an HTTP status alone is let out."""
    from apprise import Apprise, NotifyFormat, NotifyType

    sender = Apprise()
    told = {"job": number, "known": bool(sender.add(job["url"])), "sent": False, "service": "", "status": ""}
    if told["known"]:
        result = sender.notify(
            title=job["title"],
            body=job["body"],
            notify_type=NotifyType.SUCCESS if job["recovered"] else NotifyType.FAILURE,
            body_format=NotifyFormat.TEXT,
        )
        statuses = (STATUS.search(entry.message) for entry in result.logs())
        told["sent"] = bool(result)
        told["service"] = " and ".join(str(service.service_name) for service in sender)
        told["status"] = next((found[1] for found in statuses if found), "")
    os.write(sys.stdout.fileno(), (json.dumps(told) + "\n").encode())


if __name__ == "__main__":
    main()
