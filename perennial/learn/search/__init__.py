"""How a search goes: what it draws, on how many rows it tries that, and what it gives up early."""
