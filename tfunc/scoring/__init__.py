"""Maps and labels to numbers: counts, metrics, means over subjects. NumPy only, nothing is drawn or written here.

`evaluate` is the way in."""
