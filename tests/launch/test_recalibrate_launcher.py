"""`recalibrate` as a user meets it: what it prints, what must come first, and what it never does."""

import pytest
from made_up_run import METHOD, write_run
from refusals import refused


@pytest.fixture(scope="session")
def records(calibration_data):
    return calibration_data["brats"]


@pytest.mark.long
def test_recalibrate(launch, records, tmp_path):
    """Prints T, ECE before and after, thresholds and what is assumed, writes its file last, and finds it the second time."""
    flags = [f"--method={METHOD}", "--dataset=brats", f"--data_dir={records}", f"--run_dir={tmp_path}"]
    calibrate = [*flags, "--calibration_split=calibration"]
    refused(launch("recalibrate", *calibrate), 3, f"predict.py --method={METHOD} --dataset=brats --split=calibration")
    write_run(tmp_path, records)
    ended = launch("recalibrate", *calibrate)
    assert ended.code == 0, ended.err
    for part in (
        f"{METHOD}: temperature ",
        "; 12 subjects of calibration",
        "as written",
        "one temperature",
        "error of log T",
        "whole, alpha 0.05: can't be certified: 19 subjects with a lesion are needed, there are 12",
        "whole, alpha 0.1: the mask p >= ",
        "whole, volume: within a factor of ",
        "in 92.3% of patients",
        "assumed: patients are exchangeable",
        f"written: {tmp_path / 'recalibration' / METHOD}.json",
        f"next: python launch/evaluate.py --dataset=brats --data_dir={records} --run_dir={tmp_path} --recalibrated",
    ):
        assert part in ended.out
    assert "approximate" not in ended.out
    assert "finished already" in launch("recalibrate", *calibrate).out
    refused(launch("recalibrate", *calibrate, "--alphas=0.1"), 2, "alphas", "(there)", "(asked for)")


def test_what_recalibrate_refuses(launch, records, tmp_path):
    """Test and train, methods without probabilities, and flags that are no numbers: 2, in one line."""
    flags = ["--dataset=brats", f"--data_dir={records}", f"--run_dir={tmp_path}"]
    for split in ("test", "train"):
        refused(launch("recalibrate", f"--method={METHOD}", *flags, f"--calibration_split={split}"), 2, "chose nothing")
    refused(launch("recalibrate", "--method=aleatoric", *flags), 2, "kind sigma")
    refused(launch("recalibrate", f"--method={METHOD}", *flags, "--alphas=a"), 2, "--alphas", "numbers between 0 and 1")
    refused(launch("recalibrate", f"--method={METHOD}", *flags, "--workers=0"), 2, "--workers=0")


def test_the_validation_set_is_approximate(launch, records, tmp_path):
    """It is the default, and said to have chosen something."""
    write_run(tmp_path, records, "valid")
    ended = launch(
        "recalibrate", f"--method={METHOD}", "--dataset=brats", f"--data_dir={records}", f"--run_dir={tmp_path}"
    )
    assert ended.code == 0, ended.err
    assert "approximate: valid chose" in ended.out and "volume: any: too few subjects" in ended.out


@pytest.mark.long
def test_predict_and_evaluate_recalibrated(launch, records, tmp_path):
    """`predict --recalibrated` rewrites a split and `evaluate --recalibrated` adds its row; flags that do not fit are refused."""
    flags = ["--dataset=brats", f"--data_dir={records}", f"--run_dir={tmp_path}"]
    predict = ["--method=" + METHOD, *flags, "--recalibrated"]
    write_run(tmp_path, records)
    write_run(tmp_path, records, "test", seed=2)
    refused(launch("predict", *predict), 3, f"launch/recalibrate.py --method={METHOD} --dataset=brats")
    refused(launch("evaluate", *flags, "--recalibrated"), 3, f"launch/recalibrate.py --method={METHOD} --dataset=brats")
    assert launch("recalibrate", f"--method={METHOD}", *flags, "--calibration_split=calibration").code == 0
    ended = launch("predict", *predict, "--outer=0.2")
    assert ended.code == 0 and f"recalibrated: maps in {tmp_path / 'predictions' / METHOD}_recalibrated" in ended.out, (
        ended.err
    )
    refused(launch("predict", *predict, "--outer=0.05"), 2, "alpha 0.05", "19 subjects with a lesion")
    refused(launch("predict", f"--method={METHOD}", *flags, "--outer=0.2"), 2, "--outer", "--recalibrated beside it")
    refused(launch("predict", *predict, "--names=nnunet"), 2, "--names, of a split")
    ended = launch("evaluate", *flags, "--recalibrated", "--workers=1")
    assert ended.code == 0 and "| baseline+MC, recalibrated |" in ended.out, ended.err
    again = launch("evaluate", *flags, f"--methods={METHOD},{METHOD}_recalibrated")
    assert again.code == 0 and "already holds this evaluation" in again.out, again.err
    here = [f"--{name}={tmp_path}" for name in ("predictions", "labels", "out_dir")]
    refused(launch("evaluate", *here, "--recalibrated"), 2, "--recalibrated", "a run")
