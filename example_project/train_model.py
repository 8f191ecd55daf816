"""Train a linear regression of salary on experience, age and interview score."""

from __future__ import annotations

import argparse

import mlflow
import salary_data
from sklearn.linear_model import LinearRegression


def parse_bool(text: str) -> bool:
    """``True``, ``false``, ``1``, ``no``…; Python's own ``bool("False")`` is True."""
    word = text.strip().lower()
    if word in {"true", "1", "yes"}:
        return True
    if word in {"false", "0", "no"}:
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--fit-intercept", type=parse_bool, default=True)
    return parser.parse_args()


def main() -> None:
    """Train, and log parameters, metrics and the model."""
    arguments = parse_arguments()
    mlflow.sklearn.autolog()
    x_train, x_test, y_train, y_test = salary_data.load()
    with mlflow.start_run():
        model = LinearRegression(
            n_jobs=arguments.n_jobs, fit_intercept=arguments.fit_intercept
        ).fit(x_train, y_train)
        scores = salary_data.scores(y_test, model.predict(x_test))
        metrics = {f"test_{name}": value for name, value in scores.items()}
        mlflow.log_metrics(metrics)
    for name, value in metrics.items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
