import pytest

from podenv.catalogue.reference import ImageRef
from podenv.errors import ProgramFailed, RegistryLoginNeeded, RegistryRefused, RegistryUnreachable
from podenv.image import diagnosis

TARGET = ImageRef("127.0.0.1:5000", "podenv-etl", tag="py3.13-0123456789abcdef")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("E: Unable to locate package libx", "the base image's system has no package libx; correct systemPackages"),
        ("No interpreter found for Python 3.14 in", "the base image has no Python 3.14; choose another image.base"),
        ("/bin/sh: 1: apt-get: not found", "the base image has no apt-get, so it can take no systemPackages"),
        ("W: Failed to fetch http://deb.example/InRelease  Temporary failure resolving 'deb.example'\n"
         "E: Unable to locate package libx",
         "http://deb.example/InRelease cannot be reached; check the network, and run the build again"),
        ("Error: reading manifest 3.13 in docker.io/library/pyton: manifest unknown",
         "an image that the build starts from is not in its registry; correct image.base "
         "(Error: reading manifest 3.13 in docker.io/library/pyton: manifest unknown)"),
        ("something else\nError: building at STEP \"RUN x\": exit status 1", "something else"),
    ],
)  # fmt: skip
def test_the_cause_of_a_failed_build_is_found_in_what_was_said(said: str, why: str) -> None:
    assert diagnosis.of_build(said, ProgramFailed("buildah", 1, said)) == why


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("unauthorized: authentication required", RegistryLoginNeeded),
        ("requested access to the resource is denied", RegistryRefused),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryUnreachable),
        ("StatusCode: 413, Payload Too Large", RegistryRefused),
        ("dial tcp 127.0.0.1:1: connect: connection refused", RegistryUnreachable),
        ("blob upload invalid", RegistryRefused),
    ],
)
def test_the_cause_of_a_failed_push_has_a_type(said: str, kind: type[Exception]) -> None:
    assert type(diagnosis.of_push(TARGET, ProgramFailed("buildah", 125, f"Error: {said}"))) is kind
