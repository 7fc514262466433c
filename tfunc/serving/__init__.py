"""A method as a SavedModel for TensorFlow Serving, and the client that asks such a server for a patient's maps.

`export` writes, `client` asks."""
