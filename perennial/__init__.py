"""Perennial keeps a model alive: from a source of records to a release that is watched.

Plain Python: nothing in this package knows ZenML, MLflow, BentoML or Streamlit. Rooms, in the order in
which data flows and imports may point: `systems` -> `data` -> `learn` -> `live`.
"""

__version__ = "0.1.0"
