"""How the imaging core's weights, and the figures of its curve, were made, and how to make them again."""
