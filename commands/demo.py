"""`run.py demo`: the whole loop, offline: a generated system, and one that is scraped from a local site."""

from __future__ import annotations

from typing import Any

import click

from commands.options import read_config, releases_folder, stack_option

GENERATED, SCRAPED = "configs/synthetic.yaml", "configs/demo/used_cars.yaml"
ROWS = 3


@click.command(short_help="Run the whole loop of two systems, offline, in under a minute.")
@stack_option
def cli(stack: str) -> None:
    """Run the whole loop of two systems, offline, in under a minute.

    `synthetic` is generated; `used_cars` is scraped from a dealer's site that the demo serves on localhost.
    Each is trained, proven, promoted, and served for a few predictions.
    """
    from commands.collect import collect, show_collection
    from commands.show import show_training
    from commands.train import train
    from demo.process import running
    from pipelines.source_digest import ROOT

    config = read_config(str(ROOT / GENERATED))
    show_training(config, train(config, stack), GENERATED, serve_once(stack, config.system))
    with running() as address:
        config = read_config(str(ROOT / SCRAPED), (f"source.base_url={address}",))
        show_collection(config, SCRAPED, *collect(config, stack))
    show_training(config, train(config, stack), SCRAPED, serve_once(stack, config.system))


def serve_once(stack: str, system: str) -> tuple[str, ...]:
    """Starts the service on the champion, asks it a few golden rows over HTTP, stops it; a line per answer."""
    import json
    import urllib.request

    from bento.process import free_port, serving
    from perennial.home import home
    from perennial.live.release import champion_bundle
    from perennial.live.sign import PUBLIC

    releases, public_key = releases_folder(stack), home().keys / PUBLIC
    bundle = champion_bundle(releases, system, public_key)
    golden = bundle.golden["rows"] if bundle else []
    rows = golden[:: max(1, len(golden) // ROWS)][:ROWS]
    environment = {
        "PERENNIAL_RELEASES": str(releases),
        "PERENNIAL_SYSTEM": system,
        "PERENNIAL_PUBLIC_KEY": str(public_key),
    }
    with serving(environment, free_port()) as url:
        request = urllib.request.Request(
            f"{url}/predict", json.dumps({"rows": rows}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
    return tuple(
        f"POST {url}/predict: {_text(row['prediction'])} {_sure(row)} ({system} {answer['version']})"
        for row in answer["predictions"]
    )


def _sure(row: dict[str, Any]) -> str:
    """How sure an answer is: the probability of its class, or its interval."""
    if "probabilities" in row:
        return f"with probability {row['probabilities'][row['prediction']]:.2f}"
    return f"between {_text(row['prediction_low'])} and {_text(row['prediction_high'])}"


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,.5g}"
