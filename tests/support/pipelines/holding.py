"""A training that stops in its third epoch and waits, so that interrupting it needs no timing."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

HELD = """

def _wait(self, batch, number):
    import time
    from pathlib import Path

    for callback in self.trainer.callbacks:
        if hasattr(callback, "seconds"):
            callback.seconds = 0.0  # every epoch has its checkpoint
    if self.current_epoch == 2 and number == 1:
        Path({reached!r}).touch()
        until = time.monotonic() + 600
        while not Path({open!r}).exists() and not self.trainer.received_sigterm:
            assert time.monotonic() < until, "nobody lets this training go on"
            time.sleep(0.02)


{network}.on_train_batch_start = _wait
"""


class Hold:
    """Patches a network of a checkout, or of the files of an image; its module becomes a copy.

    Args:
        root: where models/ is.
        network: the module and the class, as params.yaml has them: titanic.Classifier.
        folder: where the training and the test signal each other.
        seen_as: the folder's path in the training, if different.
    """

    def __init__(self, root: Path, network: str, folder: Path, seen_as: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._reached, self._open = folder / "reached", folder / "open"
        models = root / "models"
        if models.is_symlink():
            source = models.resolve()
            models.unlink()
            shutil.copytree(source, models)
        module, _, name = network.partition(".")
        with (models / f"{module}.py").open("a") as file:
            seen = seen_as or folder
            file.write(HELD.format(network=name, reached=str(seen / "reached"), open=str(seen / "open")))

    def open(self) -> None:
        """Lets the training continue."""
        self._open.touch()

    def close(self) -> None:
        for path in (self._open, self._reached):
            path.unlink(missing_ok=True)

    def reached(self, alive: Callable[[], bool] = lambda: True, seconds: float = 300) -> None:
        """Waits until the training is held with two epochs in its checkpoint."""
        until = time.monotonic() + seconds
        while not self._reached.exists():
            assert alive(), "the training ended before it could be interrupted"
            assert time.monotonic() < until, f"no training came to its third epoch in {seconds:.0f} s"
            time.sleep(0.02)
