"""`run.py demo`: the whole loop of the synthetic system, from its generator to answers over HTTP."""

from __future__ import annotations

import click

from commands.options import read_config, releases_folder, stack_option

CONFIG = "configs/synthetic.yaml"
ROWS = 3


@click.command(short_help="Run the whole loop of the synthetic system, offline, in under a minute.")
@stack_option
def cli(stack: str) -> None:
    """Run the whole loop of the synthetic system, offline, in under a minute."""
    from commands.show import show_training
    from commands.train import train
    from pipelines.source_digest import ROOT

    config = read_config(str(ROOT / CONFIG))
    trained = train(config, stack)
    answers = serve_once(stack, config.system)
    click.echo(f"served {len(answers)} rows over HTTP: {'; '.join(answers)}\n")
    show_training(config, trained)


def serve_once(stack: str, system: str) -> list[str]:
    """Starts the service on the champion, asks it a few golden rows over HTTP, and stops it."""
    import json
    import urllib.request

    from bento.process import free_port, serving
    from perennial.home import home
    from perennial.live.release import champion_bundle
    from perennial.live.sign import PUBLIC

    releases, public_key = releases_folder(stack), home().keys / PUBLIC
    bundle = champion_bundle(releases, system, public_key)
    rows = bundle.golden["rows"][:ROWS] if bundle else []
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
    return [f"{answer['version']} says {row['prediction']}" for row in answer["predictions"]]
