"""Raw data to records: finds and checks subjects, splits them, and writes sharded TFRecords with a manifest.

Knows nothing of tfunc. Importing it imports nothing else; TensorFlow is imported where records are written or parsed."""
