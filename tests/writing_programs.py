"""Every program that writes: what it begins from, how it is called, and what of its outcome must be the same each time.

Tests of kills, full disks, closed folders and of two at once go over this one table.
"""

import collections
import dataclasses
import hashlib
import itertools
import shutil
import time

import pytest
from made_up_run import METHOD, write_run

SMALL = ("--epochs=2", "--start_filters=4", "--depth=1", "--batch_size=8", "--precision=float32", "--deterministic")
BRATS = "--dataset=brats"


@dataclasses.dataclass(frozen=True)
class Writing:
    """A program in a place of its own. In flags {at} is the place, {raw} and {data} what is only read.

    name: in tests. launcher: its file. needs: whose run is copied to {at}/run first, and whose data these are.
    writes: the folder in the place that is its own. heavy: takes half a minute.
    """

    name: str
    launcher: str
    flags: tuple[str, ...]
    needs: str = "nothing"
    writes: str = "run"
    heavy: bool = False

    def called(self, place, sources):
        """What is typed behind the launcher's name."""
        return [flag.format(at=place, **sources[self.needs]) for flag in self.flags]


RUN = (BRATS, "--data_dir={data}", "--run_dir={at}/run")
BASELINE = ("--method=baseline", *RUN)
PHANTOM = (BRATS, "--raw_dir={at}/new", "--subjects=4", "--shape=16,32,32")
PREPARE = (BRATS, "--raw_dir={raw}", "--data_dir={at}/new", "--workers=2")
INPUT = (*BASELINE, "--precision=float32", "--input={raw}/HGG", "--out_dir={at}/new")
RECALIBRATE = (f"--method={METHOD}", *RUN, "--calibration_split=calibration", "--workers=1")
ALL = (
    Writing("phantom", "phantom", PHANTOM, writes="new"),
    Writing("prepare", "prepare", PREPARE, writes="new"),
    Writing("train", "train", (*BASELINE, *SMALL)),
    Writing("predict", "predict", (*BASELINE, "--precision=float32"), "trained"),
    Writing("predict --input", "predict", INPUT, "trained", "new"),
    Writing("evaluate", "evaluate", (*RUN, "--workers=1"), "predicted"),
    Writing("recalibrate", "recalibrate", RECALIBRATE, "calibrating"),
    Writing("study", "study", ("--methods=baseline", *RUN, *SMALL), heavy=True),
    Writing("export", "export", (*BASELINE, "--export_dir={at}/new"), "trained", "new"),
)
BY_NAME = {one.name: one for one in ALL}


class Tried:
    """The programs' beginnings, and their outcomes where nothing disturbs them."""

    def __init__(self, sources, launch, folder):
        self.sources, self.launch, self.folder, self.known = sources, launch, folder, {}

    def place(self, program):
        """The one folder in which all tests of this process try a program: some of what it writes names its path."""
        place = self.folder / program.name.replace(" --", "_")
        place.mkdir(exist_ok=True)
        return place

    def empty(self, program):
        """Removes what is in the place; returns it."""
        place = self.place(program)
        for old in place.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        return place

    def lay_out(self, program):
        """Makes the place anew, as the program finds it before its first call; returns it."""
        place = self.empty(program)
        if "run" in self.sources[program.needs]:
            shutil.copytree(self.sources[program.needs]["run"], place / "run")
        return place

    def start(self, program):
        """The program, begun in its place; `launch.end` waits for it."""
        return self.launch.start(program.launcher, *program.called(self.place(program), self.sources))

    def run(self, program):
        """How it ended."""
        return self.launch.end(self.start(program))

    def undisturbed(self, program):
        """(outcome, seconds that it took) where nothing disturbs it."""
        if program.name not in self.known:
            place = self.lay_out(program)
            before = sizes(place)
            begun = time.monotonic()
            ended = self.run(program)
            took = time.monotonic() - begun
            assert ended.code == 0, ended.err
            self.known[program.name] = outcome(place), took, sizes(place) - before
        return self.known[program.name][:2]

    def size(self, program):
        """Bytes that the program adds to its place, undisturbed."""
        return self.known[program.name][2]

    def differences(self, program):
        """What is not as it would be undisturbed, and what is there beside it; empty where all is well."""
        then, now = self.known[program.name][0], outcome(self.place(program))
        other = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
        return other + leftovers_in(self.place(program))


@pytest.fixture(scope="session")
def tried(brats_raw, brats_data, calibration_data, train, made_once, launch, tmp_path_factory):
    """A `Tried`."""

    def trained(folder):
        train("baseline", "brats", brats_data, folder / "run")

    def predicted(folder):
        shutil.copytree(made_once("faults_trained", trained) / "run", folder / "run")
        flags = ["--method=baseline", BRATS, f"--data_dir={brats_data}", f"--run_dir={folder / 'run'}"]
        ended = launch("predict", *flags)
        assert ended.code == 0, ended.err

    def calibrating(folder):
        write_run(folder / "run", calibration_data["brats"])

    brats = {"raw": brats_raw, "data": brats_data}
    runs = {"trained": made_once("faults_trained", trained), "predicted": made_once("faults_predicted", predicted)}
    sources = {"nothing": brats, **{name: {**brats, "run": made / "run"} for name, made in runs.items()}}
    calibrated = made_once("faults_calibrating", calibrating)
    sources["calibrating"] = {"data": calibration_data["brats"], "run": calibrated / "run"}
    return Tried(sources, launch, tmp_path_factory.mktemp("tried"))


# hold times, process ids, what is drawn anew, or names that TensorFlow counts
OTHER_EACH_TIME = (".lock", "devices.json", "fingerprint.pb", "events.out.tfevents.", "variables.")


def outcome(place):
    """{file: checksum} of all that must be the same whenever and however often a program was called."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place)
        if path.is_file() and not path.name.startswith(OTHER_EACH_TIME) and name.parts[:2] != ("run", "study"):
            content = repr(_numbers(path)).encode() if path.name == "saved_model.pb" else path.read_bytes()
            found[str(name)] = hashlib.sha256(content).hexdigest()
    return found


def _numbers(path):
    """What a SavedModel computes with, whatever its functions are called: TensorFlow counts them anew in each process.

    Returns how often each op stands in its graphs, constants with their values, and the values of its variables.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    (graphs,) = saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs
    bodies = [graphs.graph_def.node, *(function.node_def for function in graphs.graph_def.library.function)]
    ops = collections.Counter()
    for node in itertools.chain(*bodies):
        is_number = node.op == "Const" and node.attr["dtype"].type != tf.string.as_datatype_enum
        ops[node.op, node.attr["value"].tensor.SerializeToString() if is_number else b""] += 1
    reader = tf.train.load_checkpoint(str(path.parent / "variables" / "variables"))
    values = [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]
    return sorted(ops.items()), sorted(one.tobytes() for one in values if not isinstance(one, bytes))


def sizes(place):
    """Bytes of all files in a folder, each in whole pages of 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in place.rglob("*") if path.is_file())


def halves_in(place):
    """What was being written when a process ended, and would be gone had it ended by itself."""
    return [str(path.relative_to(place)) for path in place.rglob("*") if path.name.startswith(".partial-")]


def leftovers_in(place):
    """What must be gone after a program's end: halves, and what a later step should have removed."""
    return halves_in(place) + [str(path.relative_to(place)) for path in place.rglob("*.part")]
