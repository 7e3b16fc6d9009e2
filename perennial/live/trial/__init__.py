"""Two models on trial at once: who answers whom, and what may be said of them however often one looks."""
