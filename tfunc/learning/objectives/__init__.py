"""What a network learns: one module each, whose class `Objective` has the model, the loss of a slice and what its validation
Dice compares. What it needs and inherits stands in its row of `tfunc/networks.py`, which needs no TensorFlow."""
