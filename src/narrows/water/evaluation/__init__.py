"""How well maps of water agree with masks drawn by people: scores, curves, peers in the same table."""
