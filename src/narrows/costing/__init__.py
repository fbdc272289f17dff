"""What a network computes, holds, moves and waits for, at one size of its image; nothing is run."""
