"""A run's identity: what changes it, what does not, and that it stays what it was."""

from __future__ import annotations

import dataclasses

import pytest

from resnet_lit import record as records
from resnet_lit.config import Config, folder_name, load
from resnet_lit.identity import fixes, identity, missing_fixes
from resnet_lit.run import earlier
from resnet_lit.schema import from_mapping, to_mapping

# Published commands and the folders they must lead to for ever: a change here orphans the runs of every user. A new key must
# have a neutral default in the schema; results_version is raised only where the same config gives other numbers.
KNOWN = {
    ("+experiment=model1",): "model1/b941951cf8",
    ("+experiment=model4",): "model4/b2b1fec8a1",
    (
        "+experiment=model4",
        "optimizer=adam",
        "data.batch_size=64",
        "seed=3",
    ): "model4/optimizer=adam,batch_size=64,seed=3-ce75ad79ce",
    ("+experiment=model4", "protocol=paper", "model.dropout=0.25"): "model4/dropout=0.25,protocol=paper-f4e7a74d17",
    ("+experiment=digits",): "digits/8fa8fcaad8",
    ("+experiment=resnet18", "scheduler=one_cycle"): "resnet18/scheduler=one_cycle-50bc9ddc81",
}


@pytest.mark.parametrize("words", KNOWN)
def test_a_published_command_keeps_its_folder(words: tuple[str, ...]) -> None:
    assert folder_name(load(*words)) == KNOWN[words]


@pytest.mark.parametrize(
    "word",
    [
        "data.root=elsewhere",
        "logger=none",
        "progress=none",
        "checkpoint.every_minutes=1",
        "trainer.log_every_n_steps=7",
        "name=other",
        "fresh=true",
    ],
)
def test_what_changes_no_result_changes_no_identity(word: str) -> None:
    assert identity(load("+experiment=model4", word)) == identity(load("+experiment=model4"))


@pytest.mark.parametrize(
    "word",
    [
        "seed=1",
        "data.batch_size=64",
        "optimizer.lr=0.2",
        "protocol=paper",
        "deterministic=true",
        "augment.rotation=15",
        "trainer.max_epochs=3",
    ],
)
def test_what_changes_a_result_changes_the_identity(word: str) -> None:
    assert identity(load("+experiment=model4", word)) != identity(load("+experiment=model4"))


def test_a_key_added_later_with_a_neutral_default_changes_no_identity() -> None:
    @dataclasses.dataclass(frozen=True)
    class Later(Config):
        ema_decay: float = dataclasses.field(
            default=0.0,
            metadata={
                "key": None,
                "result": True,
                "least": None,
                "above": None,
                "most": None,
                "below": None,
                "example": 0.0,
                "meaning": "",
            },
        )

    config = load("+experiment=model4")
    later = Later(**{f.name: getattr(config, f.name) for f in dataclasses.fields(config)})
    assert identity(later) == identity(config)


def test_equal_values_written_differently_are_one_run() -> None:
    assert identity(load("optimizer.lr=1")) == identity(load("optimizer.lr=1.0"))
    assert identity(load("model=model1")) == identity(load("model.blocks=[2,2,2]", "model.channels=[64,128,256]"))


def test_weights_count_by_content_not_by_path(tmp_path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"1")
    (tmp_path / "b.ckpt").write_bytes(b"1")
    (tmp_path / "c.ckpt").write_bytes(b"2")
    first, same, other = (identity(load(f"weights={tmp_path}/{name}.ckpt")) for name in "abc")
    assert first == same != other


def test_a_saved_config_gives_the_same_config() -> None:
    config = load("+experiment=model4", "optimizer=adam", "model.dropout=0.25")
    assert from_mapping(to_mapping(config)) == config


def test_the_readable_part_is_short_and_safe() -> None:
    words = ["data.batch_size=64", "optimizer=adam", "model.dropout=0.25", "augment=all", "scheduler=sgdr", "optimizer.lr=0.0123"]
    words += [
        "optimizer.weight_decay=0.01",
        "data.limit_train=1000",
        "data.limit_test=1000",
        "trainer.max_epochs=33",
        "label_smoothing=0.1",
    ]
    name = folder_name(load("+experiment=model4", *words)).split("/")[1]
    assert len(name) <= 120
    assert "more-" in name
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=,+-")


def test_an_experiment_of_the_users_own_is_found(tmp_path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: model1\nname: mine\ndata:\n  batch_size: 100\n"
    )
    config = load("+experiment=mine", config_dir=tmp_path)
    assert (config.name, config.model.name, config.data.batch_size) == ("mine", "model1", 100)
    assert folder_name(config) == f"mine/{identity(config)}"


def test_load_needs_no_global_state_and_leaves_none(monkeypatch) -> None:
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.setattr("sys.argv", ["something", "--else"])
    assert load("seed=1").seed == 1
    assert load("seed=2").seed == 2
    assert not GlobalHydra.instance().is_initialized()


NARROW = ("+experiment=model4", "model.width=0.125")


def test_a_correction_marks_the_configs_it_concerns_and_no_others() -> None:
    assert fixes(load("+experiment=model4")) == ()
    assert fixes(load(*NARROW)) == ("strided_1x1",)
    assert fixes(load(*NARROW, "model.skip_kernels=3")) == ()
    assert fixes(load(*NARROW, "model.block=bottleneck")) == ()  # 4 C channels between two blocks: 32 and more
    assert fixes(load("+experiment=model4", "model.block=bottleneck", "model.width=0.0625", "model.kernels=1")) == (
        "strided_1x1",
    )


def test_the_identity_before_a_correction_is_recognised() -> None:
    config = load(*NARROW)
    before = "d5994a97af"  # as it was hashed then
    assert identity(config) != before
    assert missing_fixes(config, before) == ("strided_1x1",)
    assert missing_fixes(config, identity(config)) == ()
    assert missing_fixes(config, "0000000000") == ()


def test_an_interrupted_run_of_before_a_correction_is_refused_and_a_finished_one_is_readable(tmp_path) -> None:
    config = load(*NARROW)
    found = {"identity": "d5994a97af", "config": to_mapping(config), "status": "finished"}
    records.write(tmp_path, found)
    assert earlier(config, tmp_path, known_as="d5994a97af") == records.read(tmp_path)  # resume= of it returns its record
    with pytest.raises(records.FolderError, match="before a correction that changes its numbers"):
        earlier(config, tmp_path)  # the same command again, into the same folder
    records.write(tmp_path, {**found, "status": "interrupted"})
    with pytest.raises(records.FolderError, match=r"1x1 convolutions of stride 2.*fresh=true"):
        earlier(config, tmp_path, known_as="d5994a97af")
