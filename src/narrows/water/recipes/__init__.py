"""How the weights in the package were made, and how to make them again."""
