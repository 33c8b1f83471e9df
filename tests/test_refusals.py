"""Bad input: one line that names the key, the value and the remedy; exit status 2; nothing written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest
from tests_support import ROOT

from resnet_lit.config import folder_name, load
from resnet_lit.typed import ConfigError

REFUSED = {
    "data.bach_size=64": "data.bach_size=64: unknown key: did you mean data.batch_size?",
    "+data.bach_size=64": "data.bach_size: unknown key: did you mean data.batch_size?",
    "++data.bach_size=64": "data.bach_size: unknown key: did you mean data.batch_size?",
    "bach_size=64": "bach_size=64: unknown key: did you mean data.batch_size?",
    "optimzer=adam": "optimzer=adam: unknown key: did you mean optimizer?",
    "optimizer=adamm": "optimizer=adamm: no such optimizer: did you mean adam?",
    "seed=[0,1": "seed=[0,1: cannot be read (",
    "data.batch_size=range(1,": "data.batch_size=range(1,: cannot be read (",
    "epochs=10": "epochs=10: unknown key: did you mean trainer.max_epochs?",
    "trainer.epochs=10": "trainer.epochs=10: unknown key: did you mean trainer.max_epochs?",
    "lr=0.1": "lr=0.1: unknown key: did you mean optimizer.lr?",
    "optimizer.learning_rate=0.1": "optimizer.learning_rate=0.1: unknown key: did you mean optimizer.lr?",
    "bs=64": "bs=64: unknown key: did you mean data.batch_size?",
    "data.batch=64": "data.batch=64: unknown key: did you mean data.batch_size?",
    "wd=1e-4": "wd=1e-4: unknown key: did you mean optimizer.weight_decay?",
    "gpus=2": "gpus=2: unknown key: did you mean trainer.devices?",
    "devices=2": "devices=2: unknown key: did you mean trainer.devices?",
    "num_workers=4": "num_workers=4: unknown key: there are no data workers",
    "data.num_workers=4": "data.num_workers=4: unknown key: there are no data workers",
    "dataset=cifar10": "dataset=cifar10: unknown key: did you mean data?",
    "arch=resnet18": "arch=resnet18: unknown key: did you mean model?",
    "output_dir=x": "output_dir=x: unknown key: did you mean hydra.run.dir?",
    "data=cifar100": "data=cifar100: not among the data sets (cifar10, digits, folder); images of your own: data=folder",
    "data=imagenet": "data=imagenet: not among the data sets (cifar10, digits, folder); images of your own: data=folder",
    "data=cifra10": "data=cifra10: no such data: did you mean cifar10?",
    "optimizer=lion": "a class of your own: optimizer._target_=<module>.<Class>)",
    "seed='3'": "seed='3': is text; must be a whole number (without quotes: seed=3)",
    "seed=${oc.env:RESNET_LIT_NOT_SET}": "the environment variable RESNET_LIT_NOT_SET is not set",
    "hydra.job.chdir=true": "hydra.job.chdir=true: paths mean the folder in which the command was typed; leave it out",
    f"name={210 * 'n'}": "is a folder's name, at most 200 bytes long (this has 210)",
    "+experiment=model44": "experiment=model44: no such experiment: did you mean model4?",
    "experiment=model4": "experiment=model4: experiment is not in the defaults: add it with a plus, +experiment=model4",
    "+model=model1": "+model=model1: model is chosen already: leave out the plus, model=model1",
    "data.batch_size=0": "data.batch_size=0: must be at least 1 (try data.batch_size=128)",
    "data.batch_size=abc": "data.batch_size=abc: must be a whole number (try data.batch_size=128)",
    "data.batch_size=64.5": "data.batch_size=64.5: must be a whole number (try data.batch_size=128)",
    "model.dropout=1.5": "model.dropout=1.5: must be below 1 (try model.dropout=0.25)",
    "trainer.max_epochs=-3": "trainer.max_epochs=-3: must be at least 1 (try trainer.max_epochs=200)",
    "optimizer.lr=nan": "optimizer.lr=nan: must be a finite number (try optimizer.lr=0.1)",
    "optimizer.lr=inf": "optimizer.lr=inf: must be a finite number (try optimizer.lr=0.1)",
    "model.blocks=[1,2]": "model.blocks has 2 values but model.channels has 4: give one per layer",
    "model.pool=9": "model.pool=9: only 4x4 pixels are left before it (try model.pool=4)",
    "model.strides=[4,4,4,4]": "model.strides=[4,4,4,4]: only 2x2 pixels are left",
    "model.channels=[128,256,512,1024]": "model.max_parameters=5000000: the model has 19,883,146 parameters",
    "trainer.logger=x": "trainer.logger: belongs to resnet_lit: use logger=tensorboard or logger=none",
    "++trainer.fast_dev_rum=true": "trainer.fast_dev_rum: unknown key: did you mean trainer.fast_dev_run?",
    "protocol=papr": "protocol=papr: must be one of holdout, paper, final (try protocol=holdout)",
    "optimizer.args.foo=1": "optimizer.args.foo is new in this config: add it with a plus, +optimizer.args.foo=1",
    "augment.blur_kernel=4": "augment.blur_kernel=4: must be odd (try augment.blur_kernel=3)",
    "~optimizer": "optimizer: must not be left out",
    "resume=somewhere": "resume=somewhere: stands alone",
    "trainer.precision=foo": "trainer.precision=foo: must be one of 16, 32, 64, 16-mixed, bf16-mixed",
    "trainer.limit_train_batches=1.5": "trainer.limit_train_batches=1.5: a part must be at most 1.0",
    "trainer.devices=0": "trainer.devices=0: must be at least 1",
    "trainer.max_time=soon": "trainer.max_time=soon: must be days:hours:minutes:seconds",
    "name=...": "name=...: must have a letter or a digit",
    "name=${foo}": "name: Interpolation key 'foo' not found",
    "+callbacks.x._target_=5": "callbacks.x: needs _target_, the import path of a class",
    "weights=no/such.ckpt": "weights=no/such.ckpt: no such file",
    "+cell=nonsense": "cell=nonsense: no such cell (choices: see --help)",
    "+cell=model4_adma": "cell=model4_adma: no such cell: did you mean model4_adam?",
    "cell=model4_adam": "cell=model4_adam: cell is not in the defaults: add it with a plus, +cell=model4_adam",
    "+sweep=papr": "sweep=papr: no such sweep: did you mean paper?",
    "+scale=tiny": "scale=tiny: no such scale (choices: gpu, smoke)",
    "sweep.seeds=0": "sweep.seeds=0: must be at least 1 (try sweep.seeds=5)",
    "sweep.seeds=5": "sweep.seeds=5: counts the seeds of a sweep file (add +sweep=seeds)",
    "model.stem_init_eps=0": "model.stem_init_eps=0: must be above 0 (try model.stem_init_eps=0.0005)",
    "model.stem_init_eps=0.02": "model.stem_init_eps=0.02: is nothing of model.stem_init=kaiming",
    "averaging=null": "averaging=null: no such averaging (choices: ema, lookahead, none)",
    "optimizer.groups.stem.*=null": "cannot be read; a pattern stands in braces: '+optimizer.groups={stem.*: {epochs: 3}}'",
    "muon=true": "muon=true: unknown key: did you mean optimizer=muon?",
    "resolution=[24,32]": "resolution=[24,32]: unknown key: did you mean data.resolution?",
    "model.width=0": "model.width=0: must be above 0 (try model.width=0.5)",
}


def _folder_for(word: str) -> str:
    return folder_name(load(word))


@pytest.mark.parametrize("word", REFUSED)
def test_a_bad_word_is_refused_with_its_remedy(word: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        _folder_for(word)
    assert REFUSED[word] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not re.search("Error|full_key", str(refusal.value))  # no name of an exception, nothing of OmegaConf's


@pytest.mark.parametrize(
    "words",
    [
        ("data.bach_size=64",),
        ("data.batch_size=0",),
        ("experiment=model4",),
        ("optimizer=null",),
        ("-m", "data.batch_size=32,0"),
        ("-m", "+experiment=glob(modle*)"),
        ("+sweep=paper", "sweep.seeds=0"),
        ("-m", "+experiment=digits", "--cfg", "job"),
        ("+experiment=model4", "data.root=no/such.tar.gz"),
        ("+experiment=digits", "weights=no/such.ckpt"),
        ("+experiment=digits", "data=folder", "data.root=nowhere"),
    ],
)
def test_the_command_refuses_in_a_second_and_writes_nothing(command, tmp_path, words) -> None:
    started = time.monotonic()
    ended = command(*words)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert not re.search("Error|full_key", ended.stderr), ended.stderr
    assert list(tmp_path.iterdir()) == []
    assert time.monotonic() - started < 20  # a second on a quiet machine; torch alone would take several


def test_hydra_full_error_shows_the_traceback(command) -> None:
    ended = command("data.bach_size=64", HYDRA_FULL_ERROR="1")
    assert ended.returncode != 0
    assert "Traceback" in ended.stderr


def test_a_key_that_cannot_be_combined_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.validation=5000: protocol=paper trains on all training images"):
        load("protocol=paper", "data.validation=5000")
    with pytest.raises(ConfigError, match=r"optimizer\.momentum=0\.9: Adam has none"):
        load("optimizer=adam", "optimizer.momentum=0.9")
    with pytest.raises(ConfigError, match=r"early_stopping\.monitor=val/accuracy: nothing is held out .*monitor=test/accuracy"):
        load("protocol=paper", "callbacks=early_stopping")
    with pytest.raises(ConfigError, match=r"data\.validation=5000: protocol=final trains on all .* and chooses nothing"):
        load("protocol=final", "data.validation=5000")
    with pytest.raises(ConfigError, match=r"early_stopping\.monitor=val/accuracy: nothing is held out .*try protocol=holdout"):
        load("protocol=final", "callbacks=early_stopping")
    with pytest.raises(ConfigError, match=r"ReduceLROnPlateau: watches a validation, and protocol=final has none"):
        load("protocol=final", "scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau")
    with pytest.raises(ConfigError, match=r"augment\.padding_mode=reflect: .* augment\.crop_padding=0 crops nothing"):
        load("augment=flip", "augment.padding_mode=reflect")
    with pytest.raises(ConfigError, match=r"augment\.cutout=40: larger than the images"):
        load("augment.cutout=40")
    load("augment.cutout=40", "data=folder", "data.image_size=null")  # of a size that is not known yet
    with pytest.raises(ConfigError, match=r"does not say how long the schedule is"):
        load("trainer.max_epochs=null", "trainer.max_time=00:01:00:00")
    with pytest.raises(ConfigError, match=r"^\+cell=model4_adam \+experiment=model1: a cell has its own experiment; leave one"):
        load("+cell=model4_adam", "+experiment=model1")


def test_an_output_folder_that_cannot_be_written_is_refused(command, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    ended = command("+experiment=digits", "hydra.run.dir=file/run")
    assert ended.returncode == 2
    assert "cannot be written" in ended.stderr
    assert "hydra.run.dir=" in ended.stderr


@pytest.mark.parametrize("words", [("hydra.run.dir=mine/x/new/run",), ("-m", "hydra.sweep.dir=mine", "name=x", "seed=0,1")])
def test_what_is_refused_takes_away_its_own_folders_and_no_others(command, tmp_path, words) -> None:
    (tmp_path / "mine" / "x").mkdir(parents=True)
    ended = command(*words, "+experiment=digits", "data=folder", "data.root=nowhere")
    assert "data.root=nowhere: no images are there" in ended.stdout + ended.stderr
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"mine", "mine/x"}


@pytest.mark.parametrize("words", [(), ("hydra/launcher=side_by_side",), ("+search=optimizer",)])
def test_data_that_a_sweep_cannot_use_are_refused_once_before_any_run(command, tmp_path, words) -> None:
    ended = command("-m", "+experiment=digits", "data=folder", "data.root=nowhere", *words, "seed=0,1")
    line = (
        "data.root=nowhere: no images are there: data.root=DIR must hold train/<class>/<image>, and may hold test/<class>/<image>"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"{line}\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_before_the_first_run_of_a_sweep_is_one_line(command, tmp_path) -> None:
    """While images are downloaded or decoded, for instance."""
    (tmp_path / "late").mkdir()
    code = "import resnet_lit.run\ndef have_data(*_):\n    raise KeyboardInterrupt\nresnet_lit.run.have_data = have_data\n"
    (tmp_path / "late" / "sitecustomize.py").write_text(code)
    path = os.pathsep.join([str(tmp_path / "late"), str(ROOT)])
    ended = command("-m", "+experiment=digits", "seed=0,1", PYTHONPATH=path)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "ended by SIGINT; rerun the same command to resume\n"


def test_a_config_imports_nothing_heavy(command, tmp_path) -> None:
    code = "import sys, resnet_lit.config as c; c.load('+experiment=model4'); print({'torch', 'lightning'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
