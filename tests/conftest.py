"""The longest files first, so that no core waits for the other one at the end."""

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
