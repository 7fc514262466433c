"""The differences between the two TensorFlow stacks, and nothing else.

`current`: TensorFlow 2.16 and later with Keras 3. `addons`: TensorFlow 2.15 with Keras 2.15, the last that TensorFlow
Addons works with. Everything else is written to what both share.
"""

import keras
import tensorflow as tf


def name():
    """`current` or `addons`. Optimizer state does not cross from one to the other; weights and records do."""
    return "current" if int(keras.__version__.split(".")[0]) >= 3 else "addons"


def versions():
    """What to write beside an artefact."""
    return {"stack": name(), "tensorflow": tf.__version__, "keras": keras.__version__}
