"""Estimate pi from random points. A plain program: ``python examples/estimate.py --points 1000 --folder .``"""

import argparse
import random
from pathlib import Path

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, required=True)
    parser.add_argument("--folder", required=True, help="where pi.txt is written")
    arguments = parser.parse_args()
    inside = sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(arguments.points))
    Path(arguments.folder, "pi.txt").write_text(f"{4 * inside / arguments.points}\n")
    print(f"pi is about {4 * inside / arguments.points}")
