"""Train a water network on a user's own scenes and masks."""
