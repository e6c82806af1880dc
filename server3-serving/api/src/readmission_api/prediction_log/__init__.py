"""The prediction log: every prediction as a row, and its outcome."""
