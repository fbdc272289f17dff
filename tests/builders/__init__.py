"""Products on disk, small and made up, laid out as their makers do."""
