from pathlib import Path


def test_rows():
    assert Path(__file__).parents[1].joinpath("clean.csv").read_text().split() == [
        "price", "0", "10", "20", "30"
    ]  # fmt: skip
