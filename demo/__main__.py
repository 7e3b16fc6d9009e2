"""`python -m demo`: the world on localhost, until it is asked to end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import get_args

from aiohttp import web

from demo.server import app, moment
from demo.world import Layout, Level, World

AT_ONCE_S = 0.05  # aiohttp takes 0 for no limit at all


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; prints one line with the address."""
    asked = _parser().parse_args(arguments)
    return asyncio.run(serve(_world(asked), asked.host, asked.port))


def world(arguments: list[str]) -> World:
    """The world that a command line describes."""
    return _world(_parser().parse_args(arguments))


async def serve(served: World, host: str, port: int) -> int:
    """Serves `served` until SIGTERM or SIGINT; 2 where the address is taken."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(app(served), access_log=None, shutdown_timeout=AT_ONCE_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        sys.stderr.write(
            f"expected to listen on {host}:{port}, found: {error.strerror}; choose another --port\n"
        )
        return 2
    until = "the machine's clock" if served.now is None else served.now.isoformat()
    sys.stdout.write(f"http://{host}:{runner.addresses[0][1]} seed {served.seed}, now {until}\n")
    sys.stdout.flush()
    try:
        await ended.wait()
    finally:
        await runner.cleanup()
    return 0


def _world(asked: argparse.Namespace) -> World:
    return World(**{name: value for name, value in vars(asked).items() if name not in ("host", "port")})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=7, help="of all data and faults")
    parser.add_argument(
        "--now", type=moment, help="until when the world has happened (ISO 8601); else the clock"
    )
    parser.add_argument("--faults", choices=get_args(Level), default="none", help="how often answers fail")
    parser.add_argument("--layout", choices=get_args(Layout), default="first", help="of /voiture")
    parser.add_argument("--layout-changes-after", type=int, metavar="N", help="pages of /voiture")
    parser.add_argument("--layout-changes-at", type=moment, metavar="ISO", help="moment of the change")
    parser.add_argument(
        "--new-layout", choices=get_args(Layout), default="rebuilt", help="what it changes to"
    )
    parser.add_argument(
        "--crawl-delay", dest="crawl_delay_s", type=float, default=0.0, help="of robots.txt, in seconds"
    )
    parser.add_argument("--robots-status", type=int, default=200, help="of robots.txt")
    return parser


if __name__ == "__main__":
    sys.exit(main())
