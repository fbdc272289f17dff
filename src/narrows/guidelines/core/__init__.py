"""What the guidelines share: the network as they see it, surgery, measuring, silence and the report."""
