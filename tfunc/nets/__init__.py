"""The networks as TensorFlow runs them: layers, U-Net, dropout from seeds, the folded inference graph, reading trained ones.

Knows nothing of learning, maps or scores."""
