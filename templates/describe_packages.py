"""describe_packages.py ENVIRONMENT NAME LOCK…: write down which of the locks' packages are installed.

ENVIRONMENT/packages/NAME.json has a name, a version and a licence of each, as the packages say it
themselves. With no LOCK, it has the packages that conda installed. A software bill of materials is made
of it.
"""

import importlib.metadata
import json
import re
import sys
from pathlib import Path

LONGEST = 80
CLASSIFIER = "License :: "


def licence_of(metadata) -> str:  # noqa: ANN001 its class has no name before Python 3.10
    """What a package says: an expression, a classifier, or a few words; empty for a whole text."""
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = metadata.get_all("Classifier") or []
    named = [line.split(" :: ")[-1] for line in classifiers if line.startswith(CLASSIFIER)]
    if named and named[-1] != "OSI Approved":
        return named[-1]
    words = (metadata.get("License") or "").strip()
    return words if len(words) <= LONGEST and "\n" not in words and words != "UNKNOWN" else ""


def of_locks(environment: Path, locks: list) -> list:
    texts = [Path(lock).read_text(encoding="utf-8") for lock in locks]
    names = re.findall(r'^name = "(.+)"$', "\n".join(texts), re.MULTILINE)
    folders = [
        str(folder)
        for folder in environment.glob("lib/python*/site-packages")
        if not folder.parent.is_symlink()
    ]
    found = []
    for name in sorted(names):
        for distribution in importlib.metadata.distributions(name=name, path=folders):
            metadata = distribution.metadata  # a marker may say that a package is not for here
            found.append(
                {"name": name, "version": metadata["Version"], "licence": licence_of(metadata)}
            )
            break
    return found


def of_conda(folder: Path) -> list:
    keys = ("name", "version", "build", "subdir", "channel", "license", "sha256", "md5")
    told = (json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json"))
    found = [{key: str(record.get(key) or "") for key in keys} for record in told]
    return sorted(found, key=lambda package: package["name"])


def main(environment: Path, name: str, *locks: str) -> None:
    packages = of_locks(environment, locks) if locks else of_conda(environment / "conda-meta")
    folder = environment / "packages"
    folder.mkdir(exist_ok=True)
    text = json.dumps(packages, indent=1) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
