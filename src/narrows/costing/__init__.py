"""What a network costs: compute, memory, lines, time."""
