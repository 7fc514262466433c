"""Files of weights that no training wrote: each ends in one line that names the file, before anything of it is used."""

import h5py
import numpy as np
import pytest

from data_prep.base.errors import UserError
from tfunc.nets import weight_files
from tfunc.nets.unet import unet


@pytest.fixture
def model():
    return unet(3, 2, 1, seed=1)


@pytest.fixture
def path(model, tmp_path):
    model.save_weights(tmp_path / "best.weights.h5")
    return tmp_path / "best.weights.h5"


def kernel(file):
    """The first dataset of more than one number."""
    found = []
    file.visititems(
        lambda name, entry: found.append(name) if isinstance(entry, h5py.Dataset) and entry.size > 1 else None
    )
    return found[0]


def replaced(make):
    """A change of a file: one dataset is another, which `make(file, name, array)` writes."""

    def change(path):
        with h5py.File(path, "r+") as file:
            name = kernel(file)
            array = file[name][()]
            del file[name]
            make(file, name, array)

    return change


def external(file, name, array):
    file.create_dataset(name, array.shape, array.dtype, external=[("/etc/hostname", 0, array.nbytes)])


def virtual(file, name, array):
    layout = h5py.VirtualLayout(array.shape, array.dtype)
    layout[...] = h5py.VirtualSource("other.h5", "x", array.shape)
    file.create_virtual_dataset(name, layout)


def nan(file, name, array):
    array = array.copy()
    array.flat[0] = np.nan
    file[name] = array


CHANGES = {
    "a link to another file": (
        replaced(lambda f, name, a: f.__setitem__(name, h5py.ExternalLink("x.h5", "/x"))),
        "a link to elsewhere",
    ),
    "a soft link": (replaced(lambda f, name, a: f.__setitem__(name, h5py.SoftLink("/x"))), "a link to elsewhere"),
    "external storage": (replaced(external), "lie in other files"),
    "virtual": (replaced(virtual), "lie in other files"),
    "huge": (
        replaced(lambda f, name, a: f.create_dataset(name, (2**20, 2**20, 2**10), "f4", chunks=(64, 64, 64))),
        "more than the",
    ),
    "text": (replaced(lambda f, name, a: f.create_dataset(name, data=["x"] * 4)), "object at"),
    "another shape": (replaced(lambda f, name, a: f.__setitem__(name, a[:1])), "."),
    "gone": (replaced(lambda f, name, a: None), "."),
    "not a number": (replaced(nan), "NaN or infinity in"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "."),
    "no HDF5": (lambda path: path.write_bytes(b"weights"), "."),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_no_training_wrote(model, path, what):
    change, words = CHANGES[what]
    change(path)
    with pytest.raises(UserError, match=rf"best\.weights\.h5: expected the weights of this network.*{words}"):
        weight_files.load(model, path)


def test_circles_end(model, path):
    """Groups that hold themselves are followed as often as there are numbers, and no more."""
    with h5py.File(path, "r+") as file:
        file["circle"] = file["/"]
    with pytest.raises(UserError, match="more than the"):
        weight_files.load(model, path)


def test_its_own_come_back(model, path):
    before = model.get_weights()
    model.set_weights([0 * one for one in before])
    weight_files.load(model, path)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
