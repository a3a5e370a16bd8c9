"""The HTML report of an evaluation, with its plots and sample panels."""
