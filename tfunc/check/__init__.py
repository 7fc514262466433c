"""The data doctor for runs: whether each artefact is whole, finite, and made of what it says, every finding with how to mend it.

Nothing is written and no network runs; TensorFlow is not needed."""
