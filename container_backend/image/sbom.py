"""A software bill of materials of an environment image, in CycloneDX. Pure: the same image, the same bytes.

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
    from collections.abc import Iterable, Mapping, Sequence

    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License
    from packageurl import PackageURL

    from container_backend.environment import Lock
    from container_backend.image.hash import BaseImage, ImagePlan

SBOM: Final = "sbom.cdx.json"
SBOM_IN_IMAGE: Final = f"/mlflow/{SBOM}"
_NAMESPACE: Final = uuid.UUID("6f0c8d1e-6a0f-5b7e-9d51-6f1d6a3c2b10")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Kinds of package URLs → what is added to names of theirs.
_PACKAGES: Final = {"pypi": "", "conda": " (conda)", "deb": " (Debian)"}
_INSTALLED: Final = "install ok installed"


@dataclass(frozen=True)
class Installed:
    """What is in an image, as it says itself.

    Attributes:
        python: Packages, each with ``name``, ``version`` and ``licence``.
        conda: Packages, each with what conda wrote down of it.
        dpkg: Debian's list of what is installed; empty where there is none.
        os_release: What system it is; empty where it does not say.
    """

    python: Sequence[Mapping[str, str]] = ()
    conda: Sequence[Mapping[str, str]] = ()
    dpkg: str = field(default="", repr=False)
    os_release: str = ""


def bill_of_materials(plan: ImagePlan, lock: Lock | None, installed: Installed) -> bytes:
    """The bill of materials of an image.

    Args:
        plan: Of the image.
        lock: What was locked; None where nothing was.
        installed: What is there.
    """
    # It takes a third of a second to import, and is wanted only where something is built.
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    image = Component(
        name=plan.tag.partition(":")[0],
        version=plan.hash,
        type=ComponentType.CONTAINER,
        bom_ref="image",
    )
    base = _base(plan.base)
    parts = [
        base,
        *_python(installed.python, lock),
        *(_conda(package) for package in installed.conda),
        *_debian(installed.dpkg, installed.os_release),
    ]
    bom = Bom(components=parts)
    bom.metadata.component = image
    bom.register_dependency(image, parts)
    identity = f"{plan.hash} {lock.digest if lock else ''} {installed}"
    bom.serial_number = uuid.uuid5(_NAMESPACE, identity)
    told = json.loads(JsonV1Dot6(bom).output_as_string())
    # The time of its making is nothing that the image has.
    told["metadata"].pop("timestamp", None)
    return f"{json.dumps(told, indent=1, sort_keys=True)}\n".encode()


def packages_in(text: str) -> dict[str, str]:
    """Name → version of the packages in a bill of materials; names say which are not Python's.

    Raises:
        ValueError: It is none.
    """
    found = {}
    for component in json.loads(text).get("components", []):
        kind = str(component.get("purl", "")).removeprefix("pkg:").partition("/")[0]
        if kind in _PACKAGES:
            found[component["name"] + _PACKAGES[kind]] = str(component.get("version"))
    return found


def _base(base: BaseImage) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    name = base.reference.partition("@")[0]
    return Component(
        name=name,
        version=base.digest,
        type=ComponentType.CONTAINER,
        bom_ref="base-image",
        purl=_image_url(name, base.digest) if "@" in base.pinned else None,
    )


def _image_url(name: str, digest: str) -> PackageURL:
    """https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md."""
    from packageurl import PackageURL

    head, slash, tail = name.rpartition("/")
    last, _, tag = tail.partition(":")
    qualifiers = {"repository_url": f"{head}{slash}{last}"} if head else {}
    return PackageURL("oci", None, last, digest, {**qualifiers, **({"tag": tag} if tag else {})})


def _python(packages: Iterable[Mapping[str, str]], lock: Lock | None) -> list[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    hashes = _hashes(lock) if lock is not None else {}
    return [
        Component(
            name=package["name"],
            version=package["version"],
            type=ComponentType.LIBRARY,
            bom_ref=f"pypi:{package['name']}",
            purl=PackageURL("pypi", None, package["name"], package["version"]),
            hashes=[
                HashType(alg=HashAlgorithm.SHA_256, content=content)
                for content in hashes.get(canonicalize_name(package["name"]), ())
            ],
            licenses=_licences(package["licence"]),
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
    """An SPDX identifier or expression where it is one, else a name."""
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_expression, is_supported_id

    if not text:
        return []
    if is_supported_id(text):
        return [DisjunctiveLicense(id=text)]
    return [LicenseExpression(text) if is_expression(text) else DisjunctiveLicense(name=text)]


def _conda(package: Mapping[str, str]) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    told = {key: package[key] for key in ("build", "channel", "subdir") if package[key]}
    algorithms = {"sha256": HashAlgorithm.SHA_256, "md5": HashAlgorithm.MD5}
    return Component(
        name=package["name"],
        version=package["version"],
        type=ComponentType.LIBRARY,
        bom_ref=f"conda:{package['name']}",
        purl=PackageURL("conda", None, package["name"], package["version"], told),
        hashes=[
            HashType(alg=algorithm, content=package[key])
            for key, algorithm in algorithms.items()
            if package[key]
        ],
        licenses=_licences(package["license"]),
    )


def _debian(dpkg: str, os_release: str) -> list[Component]:
    """https://www.debian.org/doc/debian-policy/ch-controlfields.html."""
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    system = dict(line.partition("=")[::2] for line in os_release.splitlines())
    namespace = system.get("ID", "debian").strip('"')
    codename = system.get("VERSION_CODENAME", "").strip('"')
    found = []
    for paragraph in dpkg.split("\n\n"):
        told = dict(
            line.partition(": ")[::2]
            for line in paragraph.splitlines()
            if line[:1] not in {"", " "}
        )
        if told.get("Status") != _INSTALLED:
            continue
        name, version, architecture = told["Package"], told["Version"], told["Architecture"]
        qualifiers = {"arch": architecture, **({"distro": codename} if codename else {})}
        found.append(
            Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=f"deb:{name}:{architecture}",
                purl=PackageURL("deb", namespace, name, version, qualifiers),
            )
        )
    return found
