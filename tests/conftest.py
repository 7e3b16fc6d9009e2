"""The longest files first, so that no core waits for the other one at the end; and what tests measured."""

import pytest

FIGURE = "figure"
LONGEST = (
    "test_readme",
    "test_collection",
    "test_attacks",
    "test_pipeline",
    "test_dashboard",
    "test_service",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture
def tell(record_property):
    """Takes what a test measured, in one sentence; it is printed at the end, also where the test ran elsewhere."""
    return lambda sentence: record_property(FIGURE, sentence)


def pytest_terminal_summary(terminalreporter):
    found = (one for group in terminalreporter.stats.values() for one in group)
    calls = [one for one in found if isinstance(one, pytest.TestReport) and one.when == "call"]
    told = [text for call in calls for name, text in call.user_properties if name == FIGURE]
    if told:
        terminalreporter.section("measured")
        for text in told:
            terminalreporter.line(text)
