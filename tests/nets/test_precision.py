"""What `--precision=auto` comes to, and that a folder keeps what it was begun in."""

import json

import pytest

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc import methods, runs
from tfunc.learning import settings
from tfunc.maps import predict
from tfunc.maps.options import Options
from tfunc.nets import devices, precision, stack

AMX = "processor : 0\nflags\t\t: fpu sse avx512f avx512_bf16 amx_bf16\nbugs :\n"
PLAIN = "processor : 0\nflags\t\t: fpu sse avx2\n"


@pytest.mark.parametrize("text, name, reason", [(AMX, "bfloat16", "has amx_bf16"), (PLAIN, "float32", "neither")])
def test_a_processor_says_what_it_can(tmp_path, text, name, reason):
    """By the flags that Linux lists; the reason names the instructions."""
    (tmp_path / "cpuinfo").write_text(text)
    choice = precision.of_processor(precision.features(tmp_path / "cpuinfo"), {})
    assert (
        choice.name == name and reason in choice.reason and str(choice).startswith(f"precision {name}: this processor")
    )


def test_an_unknown_processor_stays_with_float32(tmp_path):
    """Where no file says what there is, and where oneDNN, which knows the instructions, is switched off."""
    assert precision.of_processor(precision.features(tmp_path / "none"), {}).name == "float32"
    assert precision.of_processor(["avx512_bf16"], {}).name == "bfloat16"
    assert precision.of_processor(["avx512_bf16"], {"TF_ENABLE_ONEDNN_OPTS": "0"}).name == "float32"


@pytest.mark.parametrize(
    "capabilities, name",
    [([(8, 0)], "bfloat16"), ([(9, 0), (7, 5)], "float32"), ([(7, 0)], "float32"), ([None], "float32")],
)
def test_gpus_say_what_they_can(capabilities, name):
    """By the least compute capability of those that train together; bfloat16 came with 8.0."""
    assert precision.of_gpus(capabilities).name == name


def fake(monkeypatch, name):
    monkeypatch.setattr(devices, "precision_of", lambda strategy=None: precision.Choice(name, "by the test"))


@pytest.mark.long
def test_a_training_keeps_what_it_was_begun_in(isic_data, train, tmp_path, monkeypatch):
    """`auto` is resolved once and recorded; on another machine the same, prolonged too; another one asked for is refused."""
    said = []
    asked = {"precision": "auto", "start_filters": 2, "epochs": 1, "kept_epochs": 1}

    def again(**changed):
        return train("baseline", "isic", isic_data, tmp_path, say=said.append, **{**asked, **changed})[0]

    fake(monkeypatch, "bfloat16")
    folder = again()
    assert runs.read_config(folder).precision == "bfloat16" and "baseline: precision bfloat16: by the test" in said
    fake(monkeypatch, "float32")
    again()
    again(epochs=2)
    assert runs.read_config(folder).precision == "bfloat16" and runs.finished(folder)["epochs"] == 2
    assert "baseline: precision bfloat16: as the folder was begun" in said
    with pytest.raises(UserError, match=r"config.json.*precision 'bfloat16' .*against 'float32'"):
        again(precision="float32", epochs=2)


def test_maps_keep_what_they_were_begun_in(brats_run, brats_data, tmp_path, monkeypatch):
    """A folder of maps that is half written goes on in its own precision, whatever the machine would choose now."""
    monkeypatch.setattr(runs, "predictions_dir", lambda run_dir, method, split="test": tmp_path / method)
    where = methods.get("baseline"), "brats", brats_data, brats_run, "test"
    names = [entry.name for entry in runs.read_records(brats_data, "brats").split("test")]
    said = []
    fake(monkeypatch, "bfloat16")
    folder = predict.predict_split(*where, Options(precision="auto"), names[:1], say=said.append)
    fake(monkeypatch, "float32")
    predict.predict_split(*where, Options(precision="auto"), say=said.append)
    document = artefacts.read_json(folder / runs.PREDICTED)
    assert document["precision"] == "bfloat16" and document["subjects"] == names
    assert [line for line in said if line.startswith("precision")] == [
        "precision bfloat16: by the test",
        "precision bfloat16: as the folder was begun",
    ]
    with pytest.raises(UserError, match=r"precision 'bfloat16' .*against 'float32'"):
        predict.predict_split(*where, Options(precision="float32"), say=said.append)


def test_maps_of_before_there_was_a_record_are_float32():
    """`auto` in a folder whose JSON names no precision goes on in float32; what is asked for stays."""
    assert Options(precision="auto").begun({"draws": "slice"}) == Options(precision="float32", draws="slice")
    assert Options(precision="bfloat16").begun({"draws": None}).precision == "bfloat16"


def test_a_configuration_is_never_auto(isic_data):
    """What a training writes is a precision: for `auto` the processor is asked where no device was."""
    from tfunc import networks

    manifest = runs.read_records(isic_data, "isic")
    assert settings.defaults()["precision"] == precision.DEFAULT
    found = settings.resolve(networks.get("baseline"), manifest, {"precision": "auto"})
    assert found.precision == precision.of_processor().name
    assert json.dumps(found.document()).count('"auto"') == 0


@pytest.mark.skipif(stack.name() != "addons", reason="of the frozen stack")
def test_the_frozen_stack_stays_with_float32(isic_data, train, tmp_path):
    """`auto` comes to float32 there, and float16 is refused in one line."""
    assert devices.precision_of().name == "float32"
    with pytest.raises(UserError, match="frozen"):
        train("baseline", "isic", isic_data, tmp_path, precision="float16")
