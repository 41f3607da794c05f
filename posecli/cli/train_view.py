"""The live view of a training: a table on stderr that is updated."""

from __future__ import annotations

from types import TracebackType

from rich.live import Live
from rich.table import Table

from posecli.cli import console
from posecli.training.config import TrainConfig
from posecli.training.loop import FLAT, Progress

FLAT_CROPS = 4000  # earlier in a training, flat heatmaps are normal


class TrainView:
    """The live view. Call it with each Progress. As a context manager it restores the terminal at the end."""

    def __init__(self, config: TrainConfig, quiet: bool) -> None:
        self.config, self.quiet = config, quiet
        self.scores: list[tuple[int, dict[str, float]]] = []
        self.warned = False
        self.live = Live(console=console.messages, refresh_per_second=2, transient=False)

    def __enter__(self) -> TrainView:
        if not self.quiet and console.messages.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.live.stop()

    def __call__(self, progress: Progress) -> None:
        if progress.scores is not None:
            self.scores.append((progress.crops, progress.scores))
        if progress.flat > FLAT and progress.crops > FLAT_CROPS and not self.warned:
            self.warned = True
            console.tell(
                f"Warning: after {progress.crops} crops {progress.flat:.0%} of the heatmaps are flat: the network answers "
                f"the empty map and the loss still falls. Try --loss cross-entropy, or a higher --rate."
            )
        if self.quiet:
            return
        if self.live.is_started:
            self.live.update(self._table(progress))
        elif progress.scores is not None:
            console.tell(self._line(progress))

    def _table(self, p: Progress) -> Table:
        table = Table(title=self._line(p), title_justify="left")
        names = list(self.scores[-1][1]) if self.scores else []
        for column in ("crops", *names):
            table.add_column(column, justify="right")
        for crops, scores in self.scores[-12:]:
            table.add_row(f"{crops}", *(f"{scores.get(name, 0):.3f}" for name in names))
        return table

    def _line(self, p: Progress) -> str:
        # The last batch may go beyond the total.
        left = max(0, p.total - p.crops) / max(p.crops_per_second, 1e-6)
        text = (
            f"{p.crops}/{p.total} crops of {p.size[0]}x{p.size[1]} px, loss {p.loss:.4f}, {p.crops_per_second:.0f} crops/s "
            f"({p.precision}), {_clock(left)} left"
        )
        if p.scores is not None:
            text += ", dev PCK@0.2 " + ", ".join(f"{k} {v:.3f}" for k, v in p.scores.items())
        return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
