"""What a push attaches to an image, in a real registry."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.image.conftest import Project, Record

from podenv import image, lock
from podenv.catalogue.environment import Catalogue
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageError, SettingError
from podenv.image import attestations, referrers, signature
from podenv.image.attested import verify
from podenv.image.build import Images
from podenv.image.registry import Registries


@pytest.mark.cluster
@pytest.mark.usefixtures("_able_to_build")
def test_a_push_attaches_what_is_in_the_image_and_what_it_was_built_from(
    project: Project,
    record: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = project.environment("attested", values="systemPackages: [libgomp1]\nimage: {attestations: true}\n")
    built = project.build(subject, push=True, rebuild=True)
    ref, registries = built.ref.at(built.digest or ""), Registries()
    there = {one["artifactType"]: one for one in referrers.listed(registries, ref)}
    assert set(there) == {attestations.SBOM, attestations.PROVENANCE}
    bill = json.loads(referrers.content(registries, ref, there[attestations.SBOM]))
    purls = {one["name"]: one.get("purl", "") for one in bill["components"]}
    assert purls["alpha"] == "pkg:pypi/alpha@1.0"
    assert purls["libgomp1"].startswith("pkg:deb/debian/libgomp1@")
    assert "upstream=gcc-12" in purls["libgomp1"]
    statement = json.loads(referrers.content(registries, ref, there[attestations.PROVENANCE]))
    assert statement["subject"] == [{"name": ref.name, "digest": {"sha256": ref.digest.removeprefix("sha256:")}}]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["systemPackages"] == ["libgomp1"]
    assert {"name": "requirements.txt", "digest": {"sha256": lock.lock_hash(subject)}} in definition[
        "resolvedDependencies"
    ]
    project.build(subject, push=True, rebuild=True)  # one of each kind, however often it is built
    assert len(referrers.listed(registries, ref)) == 2
    record("cosign")
    monkeypatch.setenv("PODENV_COSIGN_KEY", "awskms:///alias/images")
    assert verify(subject, Images()).differences == ()


def test_cosign_signs_and_verifies_with_whom_the_values_name(
    tmp_path: Path,
    record: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "envs" / "etl"
    folder.mkdir(parents=True)
    monkeypatch.delenv("PODENV_COSIGN_KEY", raising=False)
    ref = ImageRef("127.0.0.1:5000", "podenv-etl", digest="sha256:" + hashlib.sha256(b"").hexdigest())

    def subject(values: str) -> Any:
        (folder / "values.yaml").write_text(f'python: "3.13"\n{values}')
        return Catalogue(tmp_path / "envs")["etl"]

    nobody = subject("")
    assert not signature.is_wanted(nobody)
    with pytest.raises(SettingError, match=r"^Nobody is named who signs the image of 'etl'; set image\.signature"):
        signature.verify(nobody, ref, image.settings(nobody))
    keyed = subject("image: {signature: {key: 'awskms:///alias/a', publicKey: ../cosign.pub}}\n")
    recorded = record()
    assert not signature.sign(keyed, ref, image.settings(keyed))
    with pytest.raises(ImageError, match=r"^A signature cannot be checked without cosign, which is not on PATH;"):
        signature.verify(keyed, ref, image.settings(keyed))
    recorded.add("cosign")
    assert signature.sign(keyed, ref, image.settings(keyed))
    assert signature.verify(keyed, ref, image.settings(keyed)) == ""
    named = subject("image: {signature: {identity: 'https://ci.example/a', issuer: 'https://issuer.example'}}\n")
    assert signature.sign(named, ref, image.settings(named))
    private = subject("image: {signature: {key: cosign.key, publicKey: cosign.pub, transparencyLog: false}}\n")
    assert signature.sign(private, ref, image.settings(private))
    assert signature.verify(private, ref, image.settings(private)) == ""
    asks = {"words": ["sign"], "code": 1, "says": "Enter password for private key: Error: signing [x]: reading key"}
    recorded.rules(asks, {"words": ["verify"], "code": 1, "says": "Error: no signatures found\nmain.go:74: no"})
    with pytest.raises(ImageError, match=r"not signed: cosign\.key has another password; set COSIGN_PASSWORD\.$"):
        signature.sign(private, ref, image.settings(private))
    assert signature.verify(named, ref, image.settings(named)) == (
        "its signature does not hold: cosign says: Error: no signatures found"
    )
    plain = "--allow-http-registry"
    assert recorded.calls() == [
        ["cosign", "sign", "--key", "awskms:///alias/a", plain, "--yes", str(ref)],
        ["cosign", "verify", "--key", str(tmp_path / "envs" / "cosign.pub"), plain, str(ref)],
        ["cosign", "sign", plain, "--yes", str(ref)],
        ["cosign", "sign", "--key", f"{folder}/cosign.key", "--tlog-upload=false", plain, "--yes", str(ref)],
        ["cosign", "verify", "--key", f"{folder}/cosign.pub", "--private-infrastructure", plain, str(ref)],
        ["cosign", "sign", "--key", f"{folder}/cosign.key", "--tlog-upload=false", plain, "--yes", str(ref)],
        ["cosign", "verify", "--certificate-identity", "https://ci.example/a",
         "--certificate-oidc-issuer", "https://issuer.example", plain, str(ref)],
    ]  # fmt: skip
