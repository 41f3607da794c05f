"""The lines that a training prints."""

from posecli.cli.train_view import TrainView
from posecli.training.config import TrainConfig
from posecli.training.loop import Progress


def test_the_time_left_is_never_negative(capfd) -> None:
    last = Progress(6016, 6000, 1.0, 0.0, 5.0, 0.0, (256, 192), "float32", {"all": 0.75})
    TrainView(TrainConfig(), quiet=False)(last)
    told = " ".join(capfd.readouterr().err.split())
    assert "6016/6000 crops" in told and "0:00:00 left" in told
