"""One module per command of `run.py`: a click command called `cli`, whose heavy imports wait for the call."""
