"""tidy_layer.py ENVIRONMENT: finish what uv has just installed with the interpreter of /pristine.

Scripts get the environment's own interpreter. Notes of when and from where a wheel came into the build
go, because they differ in each build. The lists of the packages' files are corrected. What has the one
time of what is built is of a layer beneath, and stays as it is.
"""

import base64
import csv
import hashlib
import io
import json
import os
import sys
from pathlib import Path

TIME = int(os.environ["SOURCE_DATE_EPOCH"])
USED = b"#!/pristine/bin/"
BUILT = "file:///wheels/"
CACHE_NOTE = "uv_cache.json"
NOTES = {CACHE_NOTE, "direct_url.json"}


def is_new(file: Path) -> bool:
    return file.lstat().st_mtime != TIME


def has_interpreter_of_build(file: Path) -> bool:
    if file.is_symlink() or not file.is_file() or not is_new(file):
        return False
    with file.open("rb") as opened:
        return opened.read(len(USED)) == USED


def corrected(script: Path, environment: Path) -> list:
    """Hash and size of a script, as in a RECORD, with the environment's interpreter."""
    content = script.read_bytes().replace(USED, f"#!{environment}/bin/".encode(), 1)
    script.write_bytes(content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return [f"sha256={digest}", str(len(content))]


def is_of_this_build(note: Path) -> bool:
    if note.name == CACHE_NOTE:
        return True
    return json.loads(note.read_text(encoding="utf-8")).get("url", "").startswith(BUILT)


def tidy(record: Path, environment: Path, scripts: set) -> None:
    """Correct the list of a package's files, and what is in it, where that is of this build."""
    text = record.read_text(encoding="utf-8")
    if "/bin/" not in text and not any(name in text for name in NOTES):
        return
    before = list(csv.reader(text.splitlines()))
    after = []
    for row in before:
        file = Path(os.path.normpath(record.parent.parent / row[0]))
        if file in scripts:
            after.append([row[0], *corrected(file, environment)])
        elif (
            file.parent == record.parent
            and file.name in NOTES
            and file.is_file()
            and is_of_this_build(file)
        ):
            file.unlink()
        else:
            after.append(row)
    if after != before:
        written = io.StringIO(newline="")
        csv.writer(written, lineterminator="\n").writerows(after)
        record.write_text(written.getvalue(), encoding="utf-8")


def main(environment: Path) -> None:
    scripts = set(filter(has_interpreter_of_build, (environment / "bin").iterdir()))
    for record in environment.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        if is_new(record):
            tidy(record, environment, scripts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
