"""The figures of a search beyond its ranking: how the best score fell, and which trials were given up early."""

from __future__ import annotations

from itertools import accumulate, pairwise

from perennial.evidence import SearchResult, Trial
from perennial.live.report.figures import Figure, searched_metric
from perennial.live.report.line_plots import Line, lines_plot
from perennial.live.report.plots import Point
from perennial.live.report.text import count_text, is_number, metric_text, number_text

FEWEST_TRIALS = 5
_KINDS = {
    "random": "Random draws, each scored on every fold and with all rows.",
    "halving": "Successive halving: all draws on few rows, the better ones on more, the best on all.",
    "optuna": "Draws that follow what did well so far (Optuna), the bad ones dropped after a fold.",
}


def kind_text(search: SearchResult) -> str:
    """How it was searched, in a sentence."""
    return _KINDS.get(search.kind, f"Searched by {search.kind}.")


def search_figures(search: SearchResult, task: str) -> list[Figure]:
    """The best score by the number of trials, and what trials that were given up had scored on how much."""
    drawn = [*_progress(search, task), *_early(search, task)]
    return [figure for figure in drawn if figure.svg]


def _progress(search: SearchResult, task: str) -> list[Figure]:
    """The score of every finished trial in the order they ran, and the best so far."""
    scores = [(float(number), t.score) for number, t in enumerate(search.trials, 1) if is_number(t.score)]
    if len(scores) < FEWEST_TRIALS:
        return []
    better = max if search.best.metric.endswith("_score") else min
    best = list(zip((n for n, _ in scores), accumulate((s for _, s in scores), better), strict=True))
    steps = [p for (a, old), (b, _) in pairwise(best) for p in ((a, old), (b, old))]
    lines = [
        Line("best so far", tuple(Point(*p) for p in [*steps, best[-1]])),
        Line("a trial", tuple(Point(*p) for p in scores), "base", joined=False),
    ]
    title = f"Best {metric_text(search.best.metric)} so far, trial by trial"
    note = "Finished trials in the order they ran."
    ends = (number_text(value) for _, value in (best[0], best[-1]))
    text = f"{note} First {next(ends)}, after {count_text(len(best), 'trial')} {next(ends)}."
    label = searched_metric(search, task)
    return [Figure(title, note, lines_plot("progress", title, text, lines, "trial", label))]


def _early(search: SearchResult, task: str) -> list[Figure]:
    """The scores of trials by how much of a whole trial they were given."""
    if not search.early:
        return []
    folds = max(len(t.folds) for t in (*search.trials, *search.early, search.best))

    def points(trials: tuple[Trial, ...]) -> tuple[Point, ...]:
        return tuple(Point(100 * t.share * len(t.folds) / max(folds, 1), t.score) for t in trials)

    finished = tuple(t for t in search.trials if t != search.best)
    lines = [
        Line("chosen", points((search.best,)), "main", joined=False),
        Line("finished", points(finished), "second", joined=False),
        Line("given up", points(search.early), "base", joined=False),
    ]
    rows = search.kind == "halving"
    title = f"{count_text(len(search.early), 'trial')} given up on fewer {'rows' if rows else 'folds'}"
    note = (
        "Scores from fewer rows or folds are not those of a whole trial: compare what stands above one place."
    )
    seconds = sum(t.seconds for t in search.early if is_number(t.seconds))
    whole = sum(t.seconds for t in search.trials if is_number(t.seconds))
    text = (
        f"{note} They took {number_text(seconds, 3)} s of fitting, finished trials {number_text(whole, 3)} s."
    )
    label = "share of the rows (%, logarithmic)" if rows else "share of the folds (%, logarithmic)"
    metric = searched_metric(search, task)
    svg = lines_plot("early", title, text, lines, label, metric, log=True)
    return [Figure(title, note, svg)]
