"""Making a zoo entry: measuring, model cards, the README's results table."""
