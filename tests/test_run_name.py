"""What runs and their groups are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_lit.config import folder_name, load
from resnet_lit.identity import identity
from resnet_lit.run_name import safe_name
from resnet_lit.typed import ConfigError


def test_a_class_of_the_users_own_is_called_by_its_name() -> None:
    config = load("optimizer._target_=torch.optim.NAdam", "model._target_=torchvision.models.mobilenet_v3_small")
    assert (config.optimizer.name, config.model.name) == ("NAdam", "mobilenet_v3_small")
    config = load("scheduler._target_=mine.half", "augment._target_=mine.Invert", "optimizer._target_=torch.optim.SGD")
    assert (config.scheduler.name, config.augment.name, config.optimizer.name) == ("half", "Invert", "sgd_momentum")
    assert load("optimizer._target_=torch.optim.NAdam", "optimizer.name=mine").optimizer.name == "mine"
    assert load("scheduler=cosine", "scheduler._target_=resnet_lit.optim.schedules.linear").scheduler.name == "linear"
    assert load("optimizer._target_=torch.optim.NAdam", "optimizer=adam", "optimizer.name=adam").optimizer.name == "NAdam"


def test_a_name_changes_no_identity_and_no_folder() -> None:
    config = load("+experiment=model4", "optimizer._target_=torch.optim.NAdam", "optimizer.momentum=null")
    label = "optimizer._target_=torch.optim.NAdam,momentum=null"
    assert (config.optimizer.name, folder_name(config)) == ("NAdam", f"model4/{label}-{identity(config)}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("_target_: torch.optim.NAdam\nlr: 0.1\n", "mine"),  # a file of his own, made of ours
        ("name: lion\n_target_: torch.optim.NAdam\n", "lion"),
        ("lr: 0.2\n", "sgd"),
    ],
)
def test_a_file_of_the_users_own_that_is_made_of_ours(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text(f"defaults: [sgd]\n{text}")
    assert load("optimizer=mine", config_dir=tmp_path).optimizer.name == name
    assert load("optimizer=mine", "optimizer._target_=torch.optim.RAdam", config_dir=tmp_path).optimizer.name == "RAdam"


def test_an_experiment_that_brings_its_own_class(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nname: a\noptimizer: {_target_: torch.optim.NAdam}\n"
    (tmp_path / "experiment" / "a.yaml").write_text(text)
    assert load("+experiment=a", config_dir=tmp_path).optimizer.name == "NAdam"


@pytest.mark.parametrize(
    "name",
    [
        "опыт",
        "写真",
        "modèle 4",
        "हिन्दी",
        "имя2",
    ],
)
def test_a_name_may_be_in_any_script(name: str) -> None:
    folder = folder_name(load("+experiment=digits", f"name={name}")).split("/")[0]
    assert folder == name.replace(" ", "-")
    assert folder_name(load("+experiment=digits", f"name={name}", "+debug=fast_dev_run")) == f"debug/{folder}"


def test_folder_names_fit_into_any_file_system() -> None:
    assert safe_name("a/b: c -- d") == "a-b-c----d"  # as ever
    assert safe_name("../e\u0301te\u0301.") == "été"
    config = load("+experiment=digits", f"name={'写' * 60}", f"label={'写' * 300}")
    assert all(len(part.encode()) <= 255 for part in folder_name(config).split("/"))


def test_numbers_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SEED", "3"), ("LR", "1e-2"), ("YES", "true"), ("PLACE", "1e5"), ("THREADS", "4"), ("BAD", "three")):
        monkeypatch.setenv(name, value)
    words = ("seed=${oc.env:SEED}", "optimizer.lr=${oc.env:LR}", "deterministic=${oc.env:YES}", "threads=${oc.env:THREADS}")
    config = load(*words, "data.root=${oc.env:PLACE}", "data.split_seed=${seed}")
    assert (config.seed, config.optimizer.lr, config.deterministic, config.threads) == (3, 0.01, True, 4)
    assert (config.data.root, config.data.split_seed) == ("1e5", 3)
    assert identity(config) == identity(
        load("seed=3", "optimizer.lr=0.01", "deterministic=true", "threads=4", "data.split_seed=3")
    )
    monkeypatch.setenv("BOTH", "[8, 16]")
    monkeypatch.setenv("NONE", "null")
    assert load("model=model1", "model.channels=[${oc.env:THREADS},8,${oc.env:SEED}]").model.channels == (4, 8, 3)
    assert load("model.blocks=[1,1]", "model.channels=${oc.env:BOTH}", "data.limit_train=${oc.env:NONE}").model.channels == (
        8,
        16,
    )
    with pytest.raises(ConfigError, match=r"^model.channels=\[three,8\]: must be a list of whole numbers"):
        load("model.blocks=[1,1]", "model.channels=[${oc.env:BAD},8]")
    with pytest.raises(ConfigError, match=r"^seed=three: must be a whole number"):
        load("seed=${oc.env:BAD}")
    with pytest.raises(ConfigError, match=r"^seed='3': is text; must be a whole number \(without quotes: seed=3\)"):
        load("seed='3'")
