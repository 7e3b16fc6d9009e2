"""The longest files first, so that no core waits for the other one at the end; and what tests measured."""

import pytest

from tests.project import Project
from tests.ready_homes import Homes, homes_of_the_run

FIGURE = "figure"
LONGEST = (
    "test_readme",
    "test_attacks_surroundings",
    "test_collection",
    "test_pipeline",
    "test_attacks_disk",
    "test_ui_browser",
    "test_dashboard",
    "test_attacks_hostile",
    "test_live_export",
    "test_scoring",
    "test_service_kill",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """State folders that need not be made anew."""
    return homes_of_the_run(tmp_path_factory)


@pytest.fixture(scope="session")
def twice(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A home with two releases of `synthetic`; v2 serves. Tests copy it before they change it."""
    return homes.trained_twice(tmp_path_factory.mktemp("twice") / "home")


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
