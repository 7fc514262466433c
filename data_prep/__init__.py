"""Raw BraTS and ISIC data to sharded TFRecords."""
