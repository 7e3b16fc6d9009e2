"""`run.py predict`: a file of rows in, a file of predictions out, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import config_options, releases_folder

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config import Config
    from perennial.live.bundle import Bundle
    from perennial.live.predict import Answered
    from perennial.table import Contract

KINDS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@click.command(short_help="Predict a file of rows with the released model, without a server.")
@config_options
@click.option(
    "--input", "source", required=True, metavar="FILE", help="Rows: CSV, Parquet, JSON lines; .gz too."
)
@click.option("--output", required=True, metavar="FILE", help="Predictions; the suffix says in which form.")
@click.option("--version", metavar="vN", help="A released version. Default: the champion.")
def cli(config: Config, stack: str, source: str, output: str, version: str | None) -> None:
    """Predict a file of rows with the released model, in the rows' order.

    The output holds the input's id column, where it has one, and the answers. It does not repeat the other
    columns: the rows keep their order, so that both files fit side by side, and no name can clash.
    """
    from perennial.errors import TableError
    from perennial.live.files import write_atomic
    from perennial.live.load import load_predictor

    kind, packed = output_form(Path(output))
    predictor = load_predictor(open_release(config, stack, version))
    frame = read_input(source, predictor.bundle.contract)
    try:
        answered = predictor.answer_columns({name: frame[name] for name in frame.columns})
    except TableError as error:
        raise TableError(source, error.violations) from error
    predictions = predictions_table(answered, ids(frame, predictor.bundle.contract))
    write_atomic(Path(output), encoded(predictions, kind, packed))
    flagged = sum(bool(flags) for flags in answered.flags)
    unanswered = int(answered.invalid.sum())
    click.echo(
        f"predicted {len(answered):,} rows with {config.system} {answered.model_version}, {flagged:,} "
        f"flagged and {unanswered:,} of these without an answer, to {output}"
    )


def open_release(config: Config, stack: str, version: str | None) -> Bundle:
    """The champion's bundle, or that of a released version; raises PerennialError where there is none."""
    from perennial.errors import LedgerError
    from perennial.home import home
    from perennial.live import release
    from perennial.live.sign import PUBLIC

    releases, key = releases_folder(stack), home().keys / PUBLIC
    if version is not None:
        return release.released_bundle(releases, config.system, version, key)
    bundle = release.champion_bundle(releases, config.system, key)
    if bundle is None:
        raise LedgerError(
            f"{config.system}: expected a release to predict with, found none in {releases}; "
            "train it first with `python run.py train`"
        )
    return bundle


def read_input(source: str, contract: Contract) -> pd.DataFrame:
    """The rows of the input file, under names or aliases of the contract; raises SourceError."""
    from perennial.data.source import read_rows

    text = [n for c in contract.columns if c.kind in ("category", "text") for n in (c.name, *c.aliases)]
    return read_rows(source, text=text)


def ids(frame: pd.DataFrame, contract: Contract) -> pd.Series | None:
    """The input's column of row ids: the contract's, or one called `id`; None where it has none."""
    names = [n for c in contract.columns if c.role == "id" for n in (c.name, *c.aliases)]
    return next((frame[name] for name in (*names, "id") if name in frame), None)


def predictions_table(answered: Answered, row_ids: pd.Series | None) -> pd.DataFrame:
    """One row per answer: `id`, the answer, `model_version`, `flag`; null where there is no answer."""
    import pandas as pd

    from perennial.live.predict import bound_columns

    answers, blank = answered.answers, answered.invalid
    nothing = pd.Series([None] * len(answered), dtype="float64")
    columns: dict[str, object] = {} if row_ids is None else {"id": row_ids}
    columns["prediction"] = pd.Series(answers.prediction.tolist()).mask(blank, None)
    if answers.probabilities is None:
        for name, values in bound_columns(answers, answered.rule).items():
            columns[name] = nothing if values is None else pd.Series(values).mask(blank)
    else:
        for position, name in enumerate(answered.rule.classes):
            columns[f"probability_{name}"] = pd.Series(answers.probabilities[:, position]).mask(blank)
    columns["model_version"] = [answered.model_version] * len(answered)
    columns["flag"] = ["; ".join(flags) for flags in answered.flags]
    return pd.DataFrame(columns)


def output_form(path: Path) -> tuple[str, bool]:
    """The form that a file's name asks for, and whether it is compressed; raises InputError."""
    from perennial.errors import InputError

    packed = path.suffix == ".gz"
    kind = KINDS.get(Path(path.stem).suffix if packed else path.suffix)
    if kind is None or (packed and kind == "parquet"):
        known = f"{', '.join(KINDS)}, .csv.gz or .jsonl.gz"
        raise InputError(f"expected --output to end in one of {known}, found {path.name!r}")
    if not path.parent.is_dir():
        raise InputError(
            f"expected --output in a folder that exists, found none at {path.parent}; make it first"
        )
    return kind, packed


def encoded(frame: pd.DataFrame, kind: str, packed: bool) -> bytes:
    """The table as the bytes of a file; numbers keep every digit."""
    import gzip
    import io
    import json

    import pandas as pd

    if kind == "parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False, compression="zstd")
        return buffer.getvalue()
    if kind == "csv":
        data = frame.to_csv(index=False).encode()
    else:
        plain = frame.astype(object).where(pd.notna(frame), None)
        data = "".join(json.dumps(row) + "\n" for row in plain.to_dict("records")).encode()
    return gzip.compress(data, mtime=0) if packed else data
