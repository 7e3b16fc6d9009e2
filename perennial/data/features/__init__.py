"""Named parts of features, each of which knows how far it looks back and when what it reads is known."""
