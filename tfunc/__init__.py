"""Voxel-wise uncertainty for medical image segmentation. Importing this package imports nothing else."""

__version__ = "0.1.0"
