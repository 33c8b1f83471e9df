"""`data.resolution`: which epoch has which size, and what is refused."""

from __future__ import annotations

import pytest

from resnet_lit.config import load
from resnet_lit.resolution import pixels_in, sizes
from resnet_lit.sections import Data
from resnet_lit.typed import ConfigError


def by_epoch(epochs: int, resolution: tuple[int, ...], shares: tuple[float, ...] | None = None) -> list[int | None]:
    data = Data(resolution=resolution, resolution_shares=shares)
    return [pixels_in(data, epoch, epochs) for epoch in range(epochs)]


def test_phases_are_shares_of_the_epochs() -> None:
    assert by_epoch(12, (24, 28, 32)) == [24] * 4 + [28] * 4 + [32] * 4
    assert by_epoch(12, (24, 32), (1, 3)) == [24] * 3 + [32] * 9
    assert by_epoch(12, (24, 32), (0.25, 0.75)) == [24] * 3 + [32] * 9
    assert by_epoch(10, (24, 28, 32), (0.33, 0.33, 0.34)) == [24] * 3 + [28] * 3 + [32] * 4
    assert by_epoch(30, (24, 28, 32), (0.1, 0.2, 0.7)) == [24] * 3 + [28] * 6 + [32] * 21  # 0.1 + 0.2 is no 0.3 in binary
    assert pixels_in(Data(), 0, 10) is None


@pytest.mark.parametrize("epochs", range(1, 9))
def test_the_last_epoch_has_the_full_size_however_short_the_run(epochs: int) -> None:
    found = by_epoch(epochs, (16, 24, 28, 32))
    assert found[-1] == 32
    assert found == sorted(found)  # type: ignore[type-var]


def test_a_run_that_max_steps_ends_within_an_epoch() -> None:
    data = Data(resolution=(24, 32))
    assert [pixels_in(data, epoch, 4.5) for epoch in range(5)] == [24, 24, 32, 32, 32]


def test_sizes_are_named_once_with_the_full_one_last() -> None:
    assert sizes(Data(resolution=(24, 28, 24, 32)), 32) == [24, 28, 32]
    assert sizes(Data(), 32) == [32]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["data.resolution=[24,28]"],
            "data.resolution=[24,28]: must end with the full size of the images, at which they are "
            "evaluated (try data.resolution=[24,28,32])",
        ),
        (["data.resolution=[40,32]"], "data.resolution=[40,32]: 40 is more than the 32 pixels that the images have"),
        (["data.resolution=[]"], "data.resolution=[]: names no size (try data.resolution=[24,28,32], or null for full size "),
        (["data.resolution=[2,32]"], "data.resolution=[2,32]: must be at least 4 (try data.resolution=[24,28,32])"),
        (["data.resolution=24"], "data.resolution=24: must be a list of whole numbers or null (try data.resolution=[24,28,32])"),
        (
            ["data.resolution=[24,32]", "data.resolution_shares=[1,1,1]"],
            "data.resolution_shares=[1,1,1]: must have one number for each size of data.resolution=[24,32] (try "
            "data.resolution_shares=[1,1])",
        ),
        (["data.resolution_shares=[1,1]"], "data.resolution_shares=[1,1]: say how long each size of data.resolution is kept"),
        (
            ["data.resolution=[24,32]", "model.pool=4"],
            "data.resolution=[24,32]: model.pool=4: only 3x3 pixels are left",
        ),
        (
            ["data.resolution=[24,32]", "model.pool=2"],
            "data.resolution=[24,32]: model.pool=2: leaves another number of features of images of 24x24 pixels than of 32x32 "
            "(try model.pool=null)",
        ),
        (  # images of a size that only their files say
            ["data.resolution=[4,64]", "data=folder", "data.image_size=null"],
            "data.resolution=[4,64]: model.strides=[1,2,2,2]: only 1x1 pixels are left before layer 4",
        ),
        (
            ["data.resolution=[32,64]", "data=folder", "data.image_size=null", "model.pool=4"],
            "data.resolution=[32,64]: model.pool=4: leaves another number of features of images of 32x32 pixels than of 64x64",
        ),
        (
            ["data.resolution=[24,32]", "model.pool=null", "trainer.max_epochs=null", "trainer.max_time=00:01:00:00"],
            "data.resolution=[24,32]: its phases are shares of the run's epochs, which trainer.max_time does not say",
        ),
    ],
)
def test_a_schedule_that_cannot_be_trained_is_refused_in_one_line(words: list[str], line: str) -> None:
    extra = ["scheduler=constant"] if "trainer.max_epochs=null" in words else []
    with pytest.raises(ConfigError) as error:
        load("+experiment=model4", *words, *extra)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
