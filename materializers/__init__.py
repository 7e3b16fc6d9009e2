"""How our own types are stored and shown.

Import this package before the first pipeline call: the first materializer that registers for a type wins.
"""

from materializers.bundle import BundleMaterializer
from materializers.model import FittedModelMaterializer
from materializers.table import TableMaterializer

__all__ = ["BundleMaterializer", "FittedModelMaterializer", "TableMaterializer"]
