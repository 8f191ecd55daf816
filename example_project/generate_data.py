"""Make Salary_predict.csv: plausible, invented, and the same every time."""

from __future__ import annotations

import csv
import random
from pathlib import Path

ROWS = 400
SEED = 20240501
FILE = Path(__file__).with_name("Salary_predict.csv")


def person(chance: random.Random) -> tuple[float, int, float, int]:
    """One row: years of experience, age, interview score (0 to 10), yearly salary."""
    experience = round(min(35.0, chance.gammavariate(2.0, 4.5)), 1)
    age = round(22 + experience + chance.expovariate(1 / 4))
    score = round(min(10.0, max(1.0, chance.gauss(6.5, 1.6))), 1)
    salary = 24_000 + 2_150 * experience + 2_900 * score + 60 * (age - 22)
    return experience, age, score, int(round(salary + chance.gauss(0, 4_500), -2))


def main() -> None:
    """Write the file."""
    chance = random.Random(SEED)
    with FILE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["experience", "age", "interview_score", "Salary"])
        writer.writerows(person(chance) for _ in range(ROWS))


if __name__ == "__main__":
    main()
