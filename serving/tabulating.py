"""`python -m serving.tabulating`: a LightGBM text on standard input becomes the table of its scores on standard output.

LightGBM 4.7 aborts, crashes or never returns on many damaged texts, so the service has it in a process of its own.
What comes back are numbers: the service needs no LightGBM, and a prediction is two look-ups, not a walk of all trees.
"""

import io
import subprocess
import sys

import numpy as np

from stock_assets.learning.boosters import load_booster
from stock_assets.learning.lookup import MAX_CELLS, ScoreTable, tabulate

SECONDS = 30
REFUSED = 3
"""Exit status of a text that LightGBM or we refuse; the reason is on standard error."""


def tabulated(text: bytes, inputs: int) -> ScoreTable:
    """The score table of a LightGBM text with so many inputs, to the bit what LightGBM predicts.

    Raises `ValueError` for a text that is refused or that LightGBM does not survive.
    """
    command = [sys.executable, "-m", "serving.tabulating", str(inputs)]
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError("LightGBM never returns from loading it") from error
    if done.returncode == REFUSED:
        raise ValueError(done.stderr.decode().strip().splitlines()[-1])
    if done.returncode != 0:
        raise ValueError("LightGBM crashes on it")
    with np.load(io.BytesIO(done.stdout)) as arrays:
        *edges, scores = (arrays[name] for name in arrays.files)
    return ScoreTable(tuple(edges), scores)


def main(inputs: int) -> int:
    """Read the text, write the table; gives `REFUSED` for a text that is none of a booster with so many inputs."""
    try:
        table = table_of(sys.stdin.buffer.read(), inputs)
    except ValueError as error:
        print(error, file=sys.stderr)
        return REFUSED
    packed = io.BytesIO()
    np.savez(packed, *table.edges, table.scores)
    sys.stdout.buffer.write(packed.getvalue())
    return 0


def table_of(text: bytes, inputs: int) -> ScoreTable:
    """The same in this process. Raises `ValueError` for a text that is refused."""
    booster = load_booster(text)
    if booster.num_feature() != inputs:
        raise ValueError(f"the booster has {booster.num_feature()} inputs, not {inputs}")
    table = tabulate(booster, 1)
    if table is None:
        raise ValueError(f"its table would have more than {MAX_CELLS} cells, or it splits by categories")
    return table


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
