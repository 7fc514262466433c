"""What a full or closed disk and too little memory say, in whoever's exception, is one line: where, what, what to do."""

import errno
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from refusals import refused

from data_prep.base import artefacts, leftovers
from data_prep.base.errors import UserError
from launch import edge, program

OP = "{{function_node __wrapped__SaveV2_device_/job:localhost/replica:0/task:0/device:CPU:0}} "


def of_tensorflow(kind, message):
    return getattr(tf.errors, kind)(None, None, message)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (of_tensorflow("ResourceExhaustedError", "/a b/x.tfrecord; No space left on device"), ["/a b/x.tfrecord", "room"]),
        (of_tensorflow("ResourceExhaustedError", f"{OP}/d/part-0; Disk quota exceeded [Op:SaveV2]"), ["/d/part-0: ", "quota"]),
        (of_tensorflow("PermissionDeniedError", f"{OP}/r/n; Permission denied [Op:CreateSummaryFileWriter] name: "),
         ["/r/n: ", "permission"]),
        (of_tensorflow("PermissionDeniedError", "Failed to create a directory: /r/n; Permission denied"), ["/r/n: "]),
        (of_tensorflow("FailedPreconditionError", "/r; Read-only file system"), ["/r: ", "Read-only"]),
        (of_tensorflow("UnknownError", "/r/x; Input/output error"), ["/r/x: ", "share"]),
        (of_tensorflow("NotFoundError", f"{OP}x/none; No such file or directory [Op:IteratorGetNext] name: "), ["x/none: "]),
        (of_tensorflow("FailedPreconditionError", f"{OP}/a/file is not a directory [Op:CreateSummaryFileWriter] name: "),
         ["/a/file: ", "Not a directory"]),
        (of_tensorflow("ResourceExhaustedError", "2 root error(s) found.\n (0) RESOURCE_EXHAUSTED: /d; No space left on device"),
         ["/d: "]),
        (of_tensorflow("ResourceExhaustedError", f"{OP}OOM when allocating tensor with shape[9] by allocator mklcpu"),
         ["memory: ", "--batch_size"]),
        (of_tensorflow("InternalError", "Failed to allocate 8 bytes: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
         ["memory: ", "--batch_size"]),
        (of_tensorflow("DataLossError", f"{OP}corrupted record at 0 [Op:IteratorGetNext]"), ["corrupted record at 0; restore"]),
        (MemoryError(), ["memory: ", "--batch_size"]),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ["memory: ", "--batch_size"]),
        (OSError(errno.EMFILE, "Too many open files", "/a"), ["/a: ", "ulimit"]),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/a"), ["/a: ", "shorter"]),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "/a"), ["/a: ", "leads back to itself"]),
        (OSError(errno.ENOSPC, "No space left on device"), ["the disk: ", "room"]),
        (OSError("100 requested and 8 written"), ["the disk: ", "No space left"]),
    ],
)  # fmt: skip
def test_one_line(error, words):
    """The file, the cause and the remedy, without the op's name."""
    found = edge.explained(error)
    assert isinstance(found, UserError) and found.exit_code == 2
    line = found.message()
    assert all(word in line for word in words) and "{{" not in line and "[Op" not in line and "\n" not in line


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="pathlib follows such a link without an error")
def test_a_link_to_itself_that_pathlib_follows(tmp_path):
    """It is no OSError there; the line is that of the system's own error."""
    loop = tmp_path / "it's a\nloop"
    loop.symlink_to(loop)
    with pytest.raises(RuntimeError) as raised:
        loop.resolve()
    found, of_system = edge.explained(raised.value), edge.explained(OSError(errno.ELOOP, "", str(loop)))
    assert found.message() == of_system.message() and "leads back to itself" in found.message()


def test_a_link_to_itself_as_a_data_set(launch, tmp_path):
    """Wherever a program asks which folder a name stands for."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for name in ("train", "recalibrate"):
        ended = launch(name, f"--dataset={loop}", "--method=baseline")
        refused(ended, 2, str(loop))


@pytest.mark.parametrize(
    "error",
    [
        of_tensorflow("InvalidArgumentError", "Incompatible shapes: [2] vs. [3]"),
        of_tensorflow("NotFoundError", "Key a/b not found in checkpoint"),
        of_tensorflow("InternalError", "Blas GEMM launch failed"),
        OSError("encoder error"),
        OSError(errno.ECHILD, "No child processes"),
        RuntimeError("dictionary changed size during iteration"),
        ValueError("x; No space left on device"),
    ],
)
def test_a_bug_stays_one(error):
    """Its traceback is needed."""
    assert edge.explained(error) is None


@pytest.mark.long
def test_real_ones_of_tensorflow(tmp_path):
    """As the installed TensorFlow words them."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(tf.errors.OpError) as absent:
        tf.io.gfile.GFile(str(tmp_path / "none"), "r").read()
    with pytest.raises(tf.errors.OpError) as below:
        tf.summary.create_file_writer(str(tmp_path / "file" / "events"))
    with pytest.raises(tf.errors.OpError) as huge:
        tf.zeros([1 << 20, 1 << 20, 1 << 10])
    lines = [edge.explained(found.value).message() for found in (absent, below, huge)]
    assert lines[0].startswith(f"{tmp_path / 'none'}: ") and lines[1].startswith(f"{tmp_path / 'file'}")
    assert lines[2].startswith("memory: ")


def test_numpy_without_memory():
    """An allocation that no machine has."""
    with pytest.raises(MemoryError) as huge:
        np.zeros((1 << 24, 1 << 24))
    assert "--batch_size" in edge.explained(huge.value).message()


def test_one_of_hdf5(tmp_path):
    """It says the number and the file in its text only."""
    with pytest.raises(OSError) as found:
        h5py.File(tmp_path / "none" / leftovers.partial("a.weights.h5"), "w")
    assert edge.is_of_hdf5(found.value)
    assert edge.explained(found.value).message().startswith(f"{tmp_path / 'none' / 'a.weights.h5'}: expected a file")
    closing = RuntimeError(
        "Can't decrement id ref count (file write failed: time = Fri\n, filename = '/d/a.h5', file descriptor = 3, "
        "errno = 28, error message = 'No space left on device', buf = 0x55, total write size = 8)"
    )
    assert edge.explained(closing).message().startswith("/d/a.h5: expected room")


def test_what_follows_a_full_disk_is_its_doing():
    """An archive that can't be closed after it; but an error after a file that is absent may be ours."""

    def after(first):
        try:
            try:
                raise first
            finally:
                raise ValueError("can't close the archive")
        except ValueError as error:
            return edge.explained(error)

    assert after(OSError(errno.ENOSPC, "No space left on device", "/d/a")).message().startswith("/d/a: ")
    assert after(FileNotFoundError(errno.ENOENT, "No such file or directory", "/d/a")) is None


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("9 requested and 1 written")]
)
def test_what_is_written_aside_has_a_name(tmp_path, error):
    """The one that the user knows, also on the way back from a worker; nothing is left."""
    for writer in (artefacts.aside, artefacts.folder_aside):
        with pytest.raises(OSError) as found, writer(tmp_path / "a.npz"):
            raise error
        back = pickle.loads(pickle.dumps(found.value))
        assert edge.explained(back).message().startswith(f"{tmp_path / 'a.npz'}: expected room")
        error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError) as found, artefacts.folder_aside(tmp_path / "folder") as aside:
        (aside / "none" / "x").write_bytes(b"")
    assert found.value.filename == str(tmp_path / "folder" / "none" / "x")
    assert os.listdir(tmp_path) == []


def test_an_error_of_reading_keeps_its_name(tmp_path):
    """What is read while something is written is another file."""
    with pytest.raises(OSError) as found, artefacts.aside(tmp_path / "out"):
        raise OSError(errno.EIO, "Input/output error")
    assert found.value.filename is None
    with pytest.raises(OSError) as found, artefacts.aside(tmp_path / "out"):
        (tmp_path / "source").read_bytes()
    assert found.value.filename == str(tmp_path / "source")


def test_forcing_to_the_disk_names_the_file(tmp_path, monkeypatch):
    """A share says only then that it is full."""
    monkeypatch.setattr(
        artefacts.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EDQUOT, "Disk quota exceeded"))
    )
    with pytest.raises(OSError) as found:
        artefacts.write_text(tmp_path / "a.json", "{}")
    assert found.value.filename == str(tmp_path / "a.json") and os.listdir(tmp_path) == []


def test_room_is_looked_for_before_hdf5_writes(tmp_path, monkeypatch):
    """HDF5 crashes on what it could not write. The file is as it was afterwards."""
    path = tmp_path / "w.h5"
    path.write_bytes(b"abc")
    artefacts.check_room(path, 1 << 16)
    assert path.read_bytes() == b"abc"
    monkeypatch.setattr(
        artefacts.os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space"))
    )
    with pytest.raises(OSError) as found:
        artefacts.check_room(path, 1 << 16)
    assert found.value.filename == str(path) and path.read_bytes() == b"abc"


def test_a_crash_of_hdf5_is_not_waited_for(tmp_path):
    """One line and code 2, though h5py holds a file that it can't write; a limit on files' size plays the disk."""
    script = tmp_path / "script.py"
    script.write_text(
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import h5py, numpy\n"
        "from launch import program\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "def main():\n"
        f"    held = h5py.File({str(tmp_path / 'a.h5')!r}, 'w')\n"
        "    held['a'] = numpy.ones(100000)\n"
        "program.run(main)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'a.h5'}: expected files of any size")


def test_the_net(monkeypatch, capsys):
    """Whichever of them ends a program: one line, code 2."""

    def fails():
        raise of_tensorflow("PermissionDeniedError", "/r/n; Permission denied")

    monkeypatch.setattr(program.app, "run", lambda main, flags_parser: main(None))
    with pytest.raises(SystemExit) as ended:
        program.run(fails)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: /r/n: expected permission to read and write there, found Permission denied; mend")


def test_no_room_for_a_training_or_an_export(launch, brats_data, brats_run, tmp_path):
    """Said before the first step and before the model is built, by number; nothing is exported."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import runpy, shutil, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "shutil.disk_usage = lambda _: type('Usage', (), {'free': 1000})\n"
        f"sys.argv[:2] = [{str(ROOT)!r} + f'/launch/{{sys.argv[1]}}.py']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    flags = ["--method=baseline", "--dataset=brats", f"--data_dir={brats_data}"]
    small = ["--start_filters=4", "--depth=1", "--epochs=1"]
    refused(
        launch(script, "train", *flags, *small, f"--run_dir={tmp_path / 'run'}"),
        2,
        "networks/baseline: expected",
        "state",
    )
    out = tmp_path / "export"
    refused(
        launch(script, "export", *flags, f"--run_dir={brats_run}", f"--export_dir={out}"),
        2,
        f"{out}: expected",
        "0.0 MB",
    )
    assert not out.exists()
