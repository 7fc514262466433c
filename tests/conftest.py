"""What the tests share: tiny phantoms, their records, tiny trained runs, and launchers that start quickly."""

import dataclasses
import fcntl
import gc
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import browser
import numpy as np
import pytest
import threads

from data_prep.base import processes as workers

workers.set_environment()
for asking in (
    signal.SIGINT,
    signal.SIGHUP,
):  # a shell's background job ignores Ctrl-C, nohup the other; tests send both
    signal.signal(asking, signal.default_int_handler if asking == signal.SIGINT else signal.SIG_DFL)
# converting a network for OpenVINO sends figures of usage over the network, and waits for them where there is none, unless
# this package cannot be imported when OpenVINO first is: by whichever test is collected first
sys.modules["openvino_telemetry"] = None
threads.share()

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDENS = ROOT / "tests" / "goldens"
BRATS_SHAPE, ISIC_SHAPE = (16, 32, 32), (32, 48)
TINY = {
    "epochs": 2,
    "max_steps": None,
    "batch_size": 8,
    "start_filters": 4,
    "depth": 1,
    "learning_rate": 1e-2,
    "average_weights": False,
    "patience": None,
    "seed": 20,
    "precision": "float32",
    "augment": "none",
    "deterministic": False,
    "reference_quirks": False,
    "folds": 5,
    "kept_epochs": 2,
}


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items):
    """Of a test that is marked `long(but=[…])` the cases of these ids are not: one or two of many, for each landing."""
    for item in items:
        mark = item.get_closest_marker("long")
        if mark is not None and hasattr(item, "callspec") and item.callspec.id in mark.kwargs.get("but", ()):
            item.own_markers = [own for own in item.own_markers if own.name != "long"]


def pytest_collection_finish(session):
    """Two logical CPUs, for the tests of replicas; TensorFlow allows it before it has run anything only.

    What was imported is collected no more: the many small objects of a graph that is traced make the collector run often.
    """
    gc.collect()
    gc.freeze()
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        _optimise(False)


def _optimise(wanted):
    """Whether grappler goes over a graph before it runs first: that costs a tiny graph a quarter of all its time.

    The programs that tests start have it, and so have tests that are marked `optimised`, being about what it does.
    """
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


@pytest.fixture(autouse=True)
def _optimised(request):
    marked = request.node.get_closest_marker("optimised") is not None
    if marked:
        _optimise(True)
    yield
    if marked:
        _optimise(False)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """made_once(name, make): a folder that `make(folder)` fills, once for all workers of pytest-xdist. Only to be read."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name, make):
        folder, made, maker = base / name, base / f"{name}.made", f"{make.__module__}.{make.__qualname__}"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed in it
                folder.mkdir()
                make(folder)
                made.write_text(maker)
            assert made.read_text() == maker, f"{name} is the name of two fixtures' folders"
        return folder

    return folder_of


@pytest.fixture(scope="session")
def brats_raw(made_once):
    """Seven phantom BraTS subjects, 16x32x32, in the layout of 2018."""
    from data_prep.phantom import write as phantom

    def make(folder):
        phantom.write("brats", folder / "raw", subjects=7, shape=BRATS_SHAPE, seed=3)

    return made_once("brats_raw", make) / "raw"


@pytest.fixture(scope="session")
def brats_data(brats_raw, made_once):
    """Their records: three subjects in train, two in valid, two in test, in three shards."""
    from data_prep import convert
    from data_prep.phantom import write as phantom

    def make(folder):
        names = [phantom.subject_id("brats", index) for index in range(7)]
        split = folder / "split.json"
        split.write_text(json.dumps({"train": names[:3], "valid": names[3:5], "test": names[5:]}))
        convert.convert("brats", brats_raw, folder / "data", split_files=[str(split)], say=lambda line: None)

    return made_once("brats", make) / "data"


@pytest.fixture(scope="session")
def isic_data(made_once):
    """Records of ten phantom photographs, 32x48: seven in train, one in valid, two in test; `raw` lies beside them."""
    from data_prep import convert
    from data_prep.phantom import write as phantom

    def make(folder):
        phantom.write("isic", folder / "raw", subjects=10, shape=ISIC_SHAPE, seed=3)
        options = {"image_size": ISIC_SHAPE, "intensity": "unit"}
        convert.convert("isic", folder / "raw", folder / "data", options, say=lambda line: None)

    return made_once("isic", make) / "data"


@pytest.fixture(scope="session")
def calibration_data(made_once):
    """{task: records} of phantom BraTS with a calibration set of twelve subjects, two classes and four."""
    from made_up_run import make_records

    names = ("brats", "brats_regions")
    return {
        name: made_once(f"calibration_{name}", lambda at, name=name: make_records(at, name)) / "data" for name in names
    }


@pytest.fixture(scope="session")
def train():
    """train(network, dataset, data_dir, run_dir, **settings): a tiny training; returns (folder, finished.json)."""
    from tfunc import networks
    from tfunc.learning.fit import fit

    def run(network, dataset, data_dir, run_dir, strategy=None, say=lambda line: None, init_from=None, **settings):
        return fit(networks.get(network), dataset, data_dir, run_dir, {**TINY, **settings}, strategy, say, init_from)

    return run


def untrained(method, classes=2, filters=4):
    """The models that a method predicts with, of one pooling: two where it has several of a kind."""
    from tfunc import networks
    from tfunc.nets import trained

    several = {"ensemble": 2, "cv": 2, "checkpoints": 2}
    names = ["baseline" if each in several else each for each in method.networks for _ in range(several.get(each, 1))]
    made = [networks.get(name).resolved(classes) for name in names]
    second = 1 if classes == 2 else classes
    return [trained.build(each, 3, filters, 1, seed=1, second_channels=second) for each in made]


def make_config(network, manifest, keeps="best", **settings):
    """The configuration of a training of tiny settings, keeping its best epoch unless said otherwise."""
    import msgspec

    from tfunc import networks
    from tfunc.learning import settings as chosen

    if isinstance(network, str):
        network = networks.get(network)
    config = chosen.resolve(network, manifest, {**TINY, **settings})
    return msgspec.structs.replace(config, keeps=keeps, patience=settings.get("patience"))


def predict_one(*arguments, **settings):
    """(subject, maps) of the one new patient or photograph that `predict_inputs` finds with these arguments."""
    from tfunc.maps import unprepared

    (found,) = unprepared.predict_inputs(*arguments, **settings)
    return found


def make_trainer(network, data_dir, strategy=None, base=None, folder=None, **settings):
    """A `Trainer` that has not begun, of tiny settings; `fit` without the run around it."""
    from data_prep import records
    from data_prep.base import artefacts
    from tfunc import networks, runs
    from tfunc.learning.slices import Slices
    from tfunc.learning.trainer import Trainer

    manifest = records.read_manifest(data_dir)
    config = make_config(network, manifest, **settings)
    artefacts.write_json(folder / runs.CONFIG, config.document())
    train, valid = (
        Slices(data_dir, manifest, names, split)
        for names, split in zip(networks.subjects(config.network, manifest), ("train", "valid"), strict=True)
    )
    return Trainer(config, train, valid, folder, strategy, lambda line: None, base)


@pytest.fixture
def trainer(tmp_path):
    """`make_trainer` into a folder of the test's own."""

    def make(*args, **settings):
        return make_trainer(*args, **{"folder": tmp_path / "network", **settings})

    return make


@pytest.fixture(scope="session")
def brats_run(brats_data, train, made_once, tmp_path_factory):
    """A run on the BraTS phantom with a trained baseline and aleatoric network."""

    def make(folder):
        for network in ("baseline", "aleatoric"):
            train(network, "brats", brats_data, folder)

    return shutil.copytree(made_once("brats_trained", make), tmp_path_factory.mktemp("brats_run") / "run")


@pytest.fixture(scope="session")
def isic_run(isic_data, train, made_once, tmp_path_factory):
    """A run on the ISIC phantom with a trained baseline."""

    def make(folder):
        train("baseline", "isic", isic_data, folder)

    return shutil.copytree(made_once("isic_trained", make), tmp_path_factory.mktemp("isic_run") / "run")


SHARED = ("brats_run", "isic_run", "brats_data", "isic_data")


@pytest.fixture(autouse=True)
def shared_runs_stay(request):
    """A test that leaves a file in a folder of all tests fails itself, and not whichever comes after it."""
    names = [name for name in SHARED if name in request.fixturenames]
    folders = [pathlib.Path(request.getfixturevalue(name)) for name in names]
    before = [_listing(folder) for folder in folders]
    yield
    for name, folder, had in zip(names, folders, before, strict=True):
        assert _listing(folder) == had, f"{name} is of all tests; copy it to write in it"


def _listing(folder):
    """{path: size and time of change} of the files in a folder; a lock's file says who had it, and is nobody's."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


@pytest.fixture(scope="session")
def golden_unet():
    """The 8-filter U-Net with the weights of the authors' code."""
    from tfunc.nets.unet import unet

    model = unet(3, 8)
    port(model, np.load(GOLDENS / "model" / "isic_f8_state.npz"))
    return model


def port(model, state):
    """Copies a torch state into a model of ours: same layers, but torch defines an up-convolution beside its block."""
    groups = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    down = [name for name in groups if name.startswith(("down", "bottom", "convs"))]
    up = [name for name in groups if name.startswith("up")]
    up.sort(key=lambda name: (name.split(".")[1], ".upconv." not in name))  # stable: blocks keep their order
    heads = [name for name in groups if name.startswith("conv_")]
    layers = [layer for layer in model.layers if layer.weights]
    for name, layer in zip(down + up + heads, layers, strict=True):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        if weight.ndim == 4:
            layer.set_weights([weight.transpose(2, 3, 1, 0), bias])
        else:
            layer.set_weights([weight, bias, state[f"{name}.running_mean"], state[f"{name}.running_var"]])


@pytest.fixture(scope="session")
def shaken():
    """shaken(model): gives a new model the uneven numbers that training would, negative scales included.

    Kernels are enlarged, since the initial ones let an image fade to a constant, of which anything would be true.
    """

    def shake(model, seed=0):
        random = np.random.default_rng(seed)
        for layer in model.layers:
            weights = layer.get_weights()
            if len(weights) == 4:
                count = len(weights[0])
                gamma = random.uniform(0.5, 1.5, count) * random.choice([1, 1, 1, -1], count)
                beta, mean = random.normal(0, 0.3, (2, count))
                layer.set_weights([gamma, beta, mean, random.uniform(0.3, 2.0, count)])
            elif weights:
                layer.set_weights([2.2 * weights[0], weights[1]])
        return model

    return shake


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a launcher ended: its exit code, what it printed and what it complained of."""

    code: int
    out: str
    err: str


COMPUTING = ("train", "predict", "study")  # the launchers with a --precision


class Launchers:
    """launch("train", "--method=baseline", …) -> `Ended`; `start` and `end` where it is to be killed meanwhile."""

    def __init__(self, folder):
        self.folder, self.started = folder, 0
        command = [sys.executable, str(ROOT / "tests" / "zygote.py")]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=threads.users_environment()
        )

    def _ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("zygote "):
                return int(line.split()[1])
        raise RuntimeError("the process that starts launchers has died")

    def start(self, launcher, *flags, environment=None):
        """launcher: a name, or the path of any script. environment: what it finds beside this process's own."""
        self.started += 1
        out, err = (str(self.folder / f"{self.started}.{name}") for name in ("out", "err"))
        # numbers are compared across machines, and what `auto` comes to is the machine's
        named = flags if isinstance(launcher, pathlib.Path) else (launcher,)
        if named and named[0] in COMPUTING and not any(str(flag).startswith("--precision") for flag in flags):
            flags = (*flags, "--precision=float32")
        script = launcher if isinstance(launcher, pathlib.Path) else ROOT / "launch" / f"{launcher}.py"
        argv = [str(script), *map(str, flags)]
        more = environment or {}
        return self._ask(argv=argv, stdout=out, stderr=err, cwd=str(self.folder), environment=more), out, err

    def end(self, started):
        pid, out, err = started
        code = self._ask(wait=pid)
        return Ended(code, pathlib.Path(out).read_text(), pathlib.Path(err).read_text())

    def __call__(self, launcher, *flags, environment=None):
        return self.end(self.start(launcher, *flags, environment=environment))

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope="session")
def launch(tmp_path_factory):
    launchers = Launchers(tmp_path_factory.mktemp("launch"))
    yield launchers
    launchers.close()


@pytest.fixture(scope="session")
def s3():
    """moto's S3 server on loopback; see `s3_server.Server`."""
    from s3_server import Server

    server = Server()
    yield server
    server.close()


@pytest.fixture
def machine(launch, s3, tmp_path):
    """machine(): a new machine, which knows the server and has nothing of what lies there."""
    from s3_server import Machine

    made = []

    def make():
        made.append(Machine(launch, s3, tmp_path / f"machine_{len(made)}"))
        return made[-1]

    return make


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """A tab of a headless Chromium, for the tests of one module; they are skipped where there is none."""
    program = browser.find()
    if program is None:
        pytest.skip(f"none of {', '.join(browser.PROGRAMS)} is installed")
    page = browser.Page(program, tmp_path_factory.mktemp("profile"))
    yield page
    page.close()
