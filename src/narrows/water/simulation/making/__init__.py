"""The commands that make the simulator's committed tables again, from packages that narrows itself doesn't need."""
