"""The bill of materials of an environment image, in CycloneDX. Pure: equal images, equal bytes.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

    from container_backend.environment import Lock
    from container_backend.image.hash import BaseImage, ImagePlan

SBOM: Final = "sbom.cdx.json"
SBOM_IN_IMAGE: Final = f"/mlflow/{SBOM}"
_NAMESPACE: Final = uuid.UUID("6f0c8d1e-6a0f-5b7e-9d51-6f1d6a3c2b10")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Type of package URL → the suffix of a name in `packages_in`.
_PACKAGES: Final = {"pypi": "", "conda": " (conda)", "deb": " (Debian)"}
# Key of a conda package → the algorithm's name in CycloneDX.
_CONDA_HASHES: Final = {"sha256": "SHA-256", "md5": "MD5"}
_INSTALLED: Final = "install ok installed"


@dataclass(frozen=True)
class Installed:
    """The content of an image, by its own files.

    Attributes:
        python: Packages, each with ``name``, ``version`` and ``licence``.
        conda: Packages, each with conda's own record of the package.
        dpkg: The text of Debian's ``status`` file; empty for other systems.
        os_release: The text of ``os-release``.
    """

    python: Sequence[Mapping[str, str]] = ()
    conda: Sequence[Mapping[str, str]] = ()
    dpkg: str = field(default="", repr=False)
    os_release: str = ""


def import_libraries() -> None:
    """Import what this module's functions use: it takes a third of a second, and only builds need it."""
    import cyclonedx.output.json
    import cyclonedx.spdx  # noqa: F401 for its time


def bill_of_materials(plan: ImagePlan, lock: Lock | None, installed: Installed) -> bytes:
    """Write the bill of materials of an image."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    image = Component(
        name=plan.tag.partition(":")[0],
        version=plan.hash,
        type=ComponentType.CONTAINER,
        bom_ref="image",
    )
    parts = [
        _base(plan.base),
        *_python(installed.python, lock),
        *(_conda(package) for package in installed.conda),
        *_debian(installed.dpkg, installed.os_release),
    ]
    bom = Bom(components=parts)
    bom.metadata.component = image
    bom.register_dependency(image, parts)
    identity = f"{plan.hash} {lock.digest if lock else ''} {installed}"
    bom.serial_number = uuid.uuid5(_NAMESPACE, identity)
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    # A time would make two bills of one image different.
    content["metadata"].pop("timestamp", None)
    return f"{json.dumps(content, indent=1, sort_keys=True)}\n".encode()


def packages_in(text: str) -> dict[str, str]:
    """Name → version of packages in a bill of materials; the name may be ``NAME (conda)``.

    Raises:
        ValueError: The text is no bill of materials.
    """
    found = {}
    for component in json.loads(text).get("components", []):
        kind = str(component.get("purl", "")).removeprefix("pkg:").partition("/")[0]
        if kind in _PACKAGES:
            found[component["name"] + _PACKAGES[kind]] = str(component.get("version"))
    return found


def _base(base: BaseImage) -> Component:
    """https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md."""
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    name = base.reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    last, _, tag = tail.partition(":")
    qualifiers = {"repository_url": f"{head}{slash}{last}"} if head else {}
    qualifiers |= {"tag": tag} if tag else {}
    is_in_registry = "@" in base.pinned
    return Component(
        name=name,
        version=base.digest,
        type=ComponentType.CONTAINER,
        bom_ref="base-image",
        purl=PackageURL("oci", None, last, base.digest, qualifiers) if is_in_registry else None,
    )


def _package(
    kind: str,
    name: str,
    version: str,
    namespace: str | None = None,
    qualifiers: dict[str, str] | None = None,
    *,
    reference: str = "",
    hashes: Iterable[tuple[str, str]] = (),
    licence: str = "",
) -> Component:
    """A package; ``kind`` is the type of its URL, ``hashes`` are pairs of algorithm and hash."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=reference or f"{kind}:{name}",
        purl=PackageURL(kind, namespace, name, version, qualifiers),
        hashes=[HashType(alg=HashAlgorithm(alg), content=content) for alg, content in hashes],
        licenses=_licences(licence),
    )


def _python(packages: Iterable[Mapping[str, str]], lock: Lock | None) -> list[Component]:
    allowed = _hashes(lock) if lock is not None else {}
    return [
        _package(
            "pypi",
            package["name"],
            package["version"],
            hashes=[
                ("SHA-256", each) for each in allowed.get(canonicalize_name(package["name"]), ())
            ],
            licence=package["licence"],
        )
        for package in packages
    ]


def _hashes(lock: Lock) -> dict[str, list[str]]:
    """Name → the hashes of the files that the lock allows."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lock.text.splitlines():
        if line and line[0] not in "# \t":
            name = canonicalize_name(re.split(r"[=@ ;\\]", line, maxsplit=1)[0])
        found.setdefault(name, []).extend(_HASH.findall(line))
    return found


def _licences(text: str) -> list[License]:
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_expression, is_supported_id

    if not text:
        return []
    if is_supported_id(text):
        return [DisjunctiveLicense(id=text)]
    return [LicenseExpression(text) if is_expression(text) else DisjunctiveLicense(name=text)]


def _conda(package: Mapping[str, str]) -> Component:
    return _package(
        "conda",
        package["name"],
        package["version"],
        qualifiers={key: package[key] for key in ("build", "channel", "subdir") if package[key]},
        hashes=[(name, package[key]) for key, name in _CONDA_HASHES.items() if package[key]],
        licence=package["license"],
    )


def _debian(dpkg: str, os_release: str) -> Iterator[Component]:
    """https://www.debian.org/doc/debian-policy/ch-controlfields.html."""
    system = dict(line.partition("=")[::2] for line in os_release.splitlines())
    codename = system.get("VERSION_CODENAME", "").strip('"')
    for paragraph in dpkg.split("\n\n"):
        fields = dict(
            line.partition(": ")[::2]
            for line in paragraph.splitlines()
            if line[:1] not in {"", " "}
        )
        if fields.get("Status") != _INSTALLED:
            continue
        name, architecture = fields["Package"], fields["Architecture"]
        yield _package(
            "deb",
            name,
            fields["Version"],
            system.get("ID", "debian").strip('"'),
            {"arch": architecture, **({"distro": codename} if codename else {})},
            reference=f"deb:{name}:{architecture}",
        )
