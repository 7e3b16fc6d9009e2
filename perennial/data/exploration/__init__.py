"""What a dataset version holds, looked at column by column and as a whole, as one page for people."""

from perennial.data.exploration.explore import Exploration, explore
from perennial.data.exploration.reading import ColumnStatus

__all__ = ["ColumnStatus", "Exploration", "explore"]
