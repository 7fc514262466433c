"""Copies of a few phantom BraTS subjects, and changes of their files, as a hand or a program of somebody else makes them."""

import pathlib
import shutil

import nibabel
import numpy as np


def some(raw, folder, count=4):
    """Copies the first subjects of phantom BraTS into a folder; returns it."""
    for place in sorted(path for path in pathlib.Path(raw).glob("*/*") if path.is_dir())[:count]:
        shutil.copytree(place, folder / place.parent.name / place.name)
    return folder


def names(folder):
    """The subjects, in order."""
    return sorted(path.name for path in folder.glob("*/*"))


def file(folder, index, kind):
    """The file of subject `index`, in order of name."""
    name = names(folder)[index]
    (found,) = folder.glob(f"*/{name}/{name}_{kind}.nii*")
    return found


def rewrite(path, change):
    """The file with its voxels changed, in the same place."""
    image = nibabel.load(path)
    made = nibabel.Nifti1Image(change(np.asarray(image.dataobj).copy()), image.affine)
    path.unlink()
    nibabel.save(made, path)
