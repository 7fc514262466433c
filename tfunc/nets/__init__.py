"""The networks as TensorFlow runs them: layers, U-Net, dropout from seeds, the folded inference graph, reading trained ones.

Knows nothing of learning, maps or scores."""

from data_prep.base.processes import choose_backend

choose_backend()  # before a module of this room imports Keras, or TensorFlow, which does
