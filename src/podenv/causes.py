"""What other programs say when something fails, and what may help: trying again, or only a correction.

One table for each speaker: the kubelet (pulls, containers), the API server, Helm, image builders, uv. A table is read
from its top; the first row whose pattern the words match counts. Words that no row matches may pass: final is only
what is known to be final. So rows for passing causes stand above those for final ones: a message often quotes several
(each mirror, each credential), and one that passes is enough for hope.

The tables were made from, and are tested with, messages that people posted: tests/unit/causes/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What can help."""

    SOON = "soon"  # the same attempt may succeed in a moment
    LATER = "later"  # this attempt fails, another one may succeed
    FINAL = "final"  # it fails until a person corrects something


@dataclass(frozen=True)
class Cause:
    """A row of a table: what the words match (in any case), the verdict, and a name for the kind of cause."""

    pattern: str
    verdict: Verdict
    kind: str

    def subject(self, words: str) -> str:
        """What a group of the pattern holds, such as the name of a package; empty where it has none."""
        found = re.search(self.pattern, words, re.IGNORECASE)
        return next((group for group in found.groups() if group), "") if found else ""


UNKNOWN = Cause("", Verdict.SOON, "unknown")


def find(table: Iterable[Cause], words: str) -> Cause:
    """The first row that matches; `UNKNOWN`, which may pass, where none does."""
    return next((cause for cause in table if re.search(cause.pattern, words, re.IGNORECASE)), UNKNOWN)


# Networks, proxies and servers that are away, slow, busy or starting, in the words of Go's net and grpc packages, of
# glibc and of HTTP. Where names of objects stand among the words, only `_NETWORK` is safe: no name has a space.
_NETWORK = (
    r"deadline exceeded|i/o timeout|handshake timeout|timed out|context canceled|request canceled|dial tcp|"
    r"connection (was )?(refused|reset|closed|aborted)|broken pipe|no route to host|(network|host) is unreachable|"
    r"no such host|server misbehaving|name resolution|name or service not known|could ?n.t resolve host|"
    r"i/o error|input/output error|use of closed network|client connection lost|transport is closing|"
    r"code = (unavailable|deadlineexceeded|canceled|resourceexhausted|aborted|internal)\b|"
    r"internal server error|bad gateway|service unavailable|gateway time-?out|too many requests|"
    r"no space left|cannot allocate memory|too many open files"
)
# 5xx and 429 only where they stand as a status: digits stand in names and digests too.
_OUTAGE = (
    rf"{_NETWORK}|deadlineexceeded|time-?out|no progress in|dns error|\bEOF\b|goaway|http2: |stream error|"
    r"error while dialing|tls: (internal error|bad record)|toomanyrequests|rate.?limit|throttl|slow ?down|"
    r"quota exceeded|qps exceeded|try again|retry later|temporar|currently unavailable|is overloaded|disk quota|"
    r"(status|code|http|error|returned|answered|response)\W{1,3}(code\W{1,3})?(408|425|429|5\d\d)\b|"
    r"unexpected status\D*\b(408|425|429|5\d\d)\b"
)

# Pulls, as the kubelet repeats its container runtime: containerd 1.6 to 2.x, CRI-O, cri-dockerd.
PULL = (
    Cause(_OUTAGE, Verdict.SOON, "outage"),
    # Another node may be of the platform.
    Cause(
        r"no match for platform|no matching manifest for|no image found in (manifest list|image index)|"
        r"does not match the (specified|expected) platform|exec format error",
        Verdict.LATER,
        "platform",
    ),
    Cause(
        r"rejected by policy|signature was required|no signature exists|signature validation failed|"
        r"vulnerabilit\w+ cannot be pulled|(are|is) no longer supported|unsupported (manifest|media|schema)|"
        r"schema ?1 .*(not |un)support",
        Verdict.FINAL,
        "refused",
    ),
    # The manifest is there and a part of it is not (yet), or the node's own store is damaged.
    Cause(
        r"failed to copy|failed open|blob unknown|unknown blob|reading blob|(parent|extraction|commit) snapshot|"
        r"content digest|\blease\b|ref .* locked|failed to (extract|prepare|commit|apply|register) layer|"
        r"digest mismatch|size validation|unexpected commit digest",
        Verdict.SOON,
        "layer",
    ),
    Cause(
        r"invalid reference|could(n't| not) parse (image )?reference|repository name must be|invalid (image )?name|"
        r"invalid checksum digest",
        Verdict.FINAL,
        "reference",
    ),
    Cause(
        r"manifest[_ ]unknown|name[_ ]unknown|manifest (for|tagged by) .*not found|name not known to registry|"
        r"resolve (reference|image).*:\s+not found|status from (head|get) request to\s+404|artifact .*not found|"
        r"repository with name .* does not exist|repository .* not found: (name|does)|requested image not found",
        Verdict.FINAL,
        "missing",
    ),
    # Who may not pull is told so, or that there is nothing. Credentials come and change by themselves: a Secret from an
    # operator, a role that spreads, a token that a node renews.
    Cause(
        r"denied|unauthorized|authoriz|authentication|no basic auth|forbidden|\b40[13]\b|credential",
        Verdict.SOON,
        "credentials",
    ),
)

# Containers that the runtime cannot create or start: runc, crun, gVisor under containerd, CRI-O and cri-dockerd.
CONTAINER = (
    Cause(
        r"executable file .*not found|exec:? .*(no such file or directory|permission denied|is a directory|"
        r"not a directory)|no command specified",
        Verdict.FINAL,
        "program",
    ),
    Cause(r"exec format error", Verdict.LATER, "platform"),
    Cause(
        r"will run as root|cannot verify user|breaks non-root policy|unable to find (user|group)|"
        r"no matching entries in (passwd|group) file|no users found",
        Verdict.FINAL,
        "user",
    ),
    Cause(r"memory limit \d+ too low|minimum memory limit|limit .*should be at least", Verdict.FINAL, "memory"),
    # Kubernetes waits for them, and so do operators that make Secrets.
    Cause(
        r"(secret|configmap)\W.*not found|couldn't find key|non-existent (config|secret) key|failed to sync",
        Verdict.SOON,
        "reference",
    ),
)  # fmt: skip

# Refusals by the API server, beside those that status and reason decide (`api`).
API = (
    Cause(r"cannot be fulfilled on (clusterresource|resource)quotas", Verdict.SOON, "quota"),
    Cause(r"precondition failed: (uid|resourceversion)", Verdict.FINAL, "precondition"),
    Cause(r"the object has been modified", Verdict.SOON, "conflict"),
    Cause(r"object is being deleted", Verdict.SOON, "deletion"),
    Cause(r"exceeded quota", Verdict.LATER, "quota"),
    Cause(r"because it is being terminated", Verdict.LATER, "namespace"),
    Cause(r"RBAC: .*not found", Verdict.LATER, "rights"),
    Cause(r"request entity too large|request is too large|larger than max", Verdict.FINAL, "size"),
    Cause(r"HTTP request to an HTTPS", Verdict.FINAL, "address"),
    Cause(
        r"error looking up service account|no api token found for service account|status unknown for quota|"
        r"not yet ready to handle|is waiting to start|failed calling webhook|failed to call webhook",
        Verdict.SOON,
        "starting",
    ),
    Cause(rf"denied the request.*({_NETWORK})", Verdict.SOON, "outage"),
)
# Helm 3.17 to 4.3, and what it repeats of the API server. What a chart says may quote anything, so it stands first;
# a webhook that does not answer is not a cluster that does not answer.
HELM = (
    Cause(
        r"meet the specifications of the schema|execution error at|failed to render|(?<![.\w])template: |"
        r"parse error at|error unmarshaling JSON|YAML parse error|json: cannot unmarshal",
        Verdict.FINAL,
        "values",
    ),
    Cause(
        rf"failed calling webhook|failed to call webhook|denied the request.*({_NETWORK})",
        Verdict.SOON,
        "webhook",
    ),
    Cause(
        r"Unauthorized|asked for the client to provide credentials|must be logged in|getting credentials: exec|"
        r"invalid bearer token|exec plugin",
        Verdict.FINAL,
        "credentials",
    ),
    Cause(r"the object has been modified|cannot be fulfilled on", Verdict.SOON, "race"),
    Cause(
        r"etcdserver|apiserver not ready|is overloaded|too many requests|currently unable to handle",
        Verdict.SOON,
        "busy server",
    ),
    Cause(r"context .* does not exist|no configuration has been provided|x509: ", Verdict.FINAL, "kubeconfig"),
    Cause(
        r"cluster unreachable|dial tcp|(read|write) tcp|connection refused|connection reset by peer|no such host|"
        r"network is unreachable|handshake timeout|i/o timeout|http2: |unexpected EOF|: EOF",
        Verdict.SOON,
        "no answer",
    ),
    Cause(r"exceeded quota", Verdict.LATER, "quota"),
    Cause(r"is forbidden: User .* cannot|attempting to grant RBAC permissions", Verdict.FINAL, "rights"),
    Cause(r"another operation .*in progress", Verdict.SOON, "lock"),
    Cause(
        r"exists and cannot be imported into the current release|cannot re-use a name|conflicts? with",
        Verdict.FINAL,
        "conflict",
    ),
    Cause(
        r"admission webhook|violates PodSecurity|is forbidden: |is invalid|strict decoding error|unknown field|"
        r"field not declared in schema|no matches for kind|failed to create typed patch object|unable to build|"
        r"field is immutable|updates to .* are (forbidden|not allowed)",
        Verdict.FINAL,
        "admission",
    ),
    Cause(r"release: not found|has no deployed releases", Verdict.FINAL, "missing"),
    Cause(r"pod .* failed|job .* failed", Verdict.LATER, "test"),
    Cause(r"context deadline exceeded|timed out waiting|timeout", Verdict.LATER, "time"),
)

# uv, as it resolves and installs packages.
UV = (
    Cause(r"Hash mismatch for `([^`]+)`", Verdict.FINAL, "hash"),
    Cause(r"No space left on device|quota exceeded", Verdict.LATER, "disk"),
    Cause(r"Read-only file system|Permission denied", Verdict.FINAL, "unwritable"),
    Cause(r"network was disabled|network connectivity is disabled", Verdict.FINAL, "offline"),
    Cause(r"(?s)`(\S+) @ git\+[^`]*`.*Git operation failed", Verdict.LATER, "git"),
    Cause(
        r"(?s)not found in the package registry.*(401 Unauthorized|403 Forbidden)|client error \(40[137] |"
        r"proxy authentication required",
        Verdict.FINAL,
        "credentials",
    ),
    Cause(
        rf"error sending request|dns error|closed connection|body from connection|{_NETWORK}", Verdict.SOON, "network"
    ),
    Cause(
        r"Because (\S+) has no wheels|no (?:usable |`.*`-compatible |\S+-compatible )?wheels|Wheels are required|"
        r"source distributions is disabled",
        Verdict.FINAL,
        "wheel",
    ),
    Cause(r"No solution found", Verdict.FINAL, "versions"),
)

# docker buildx, buildah and podman, with apt and uv inside; the whole log is read, so each row names its place. An apt
# that had no network goes on with the lists that it has, and then does not know a package.
BUILD = (
    Cause(r"Hash mismatch for `([^`]+)`", Verdict.FINAL, "hash"),
    Cause(r"No interpreter found for (Python \S+)", Verdict.FINAL, "python"),
    Cause(r"no space left on device|disk quota exceeded", Verdict.LATER, "disk"),
    Cause(r"Because (\S+) has no .*wheels?", Verdict.FINAL, "wheel"),
    Cause(
        r"(?:401 Unauthorized|403 Forbidden)\)? for url \((https?://[^)\s]+)|"
        r"An index(?: URL)? \((https?://[^)\s]+)\) (?:could not be queried due to a lack of|returned a 403)",
        Verdict.FINAL,
        "credentials",
    ),
    Cause(r"[EW]: Failed to fetch (\S+)\s+404", Verdict.LATER, "old package list"),
    Cause(
        r"Temporary failure resolving '([^']+)'|[EW]: Failed to fetch (https?://\S+)|"
        r"Could not connect to ([^\s:]+):\d+ ",
        Verdict.SOON,
        "network",
    ),
    Cause(
        r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate",
        Verdict.FINAL,
        "system package",
    ),
    Cause(r"(?:Failed to fetch|error sending request).*?(https?://\S+?)[`)\s]", Verdict.SOON, "network"),
    Cause(r"apt-get: (?:command )?not found", Verdict.FINAL, "apt"),
    Cause(r"exec format error", Verdict.FINAL, "platform"),
    Cause(r"exit (?:code|status):? 137|signal: killed|cannot allocate memory", Verdict.LATER, "memory"),
)

# The same programs as they push.
PUSH = (
    Cause(r"(payload|entity) too large|\b413\b", Verdict.FINAL, "size"),
    Cause(r"immutable|cannot be overwritten", Verdict.FINAL, "immutable"),
    Cause(r"upper limit|quota", Verdict.FINAL, "quota"),
    Cause(r"name[_ ]unknown|(repository|project) .*(does not exist|not found)", Verdict.FINAL, "repository"),
    Cause(_OUTAGE, Verdict.SOON, "outage"),
    Cause(r"unauthorized|authentication required|no basic auth|incorrect username|\b401\b", Verdict.FINAL, "login"),
    Cause(r"denied|forbidden|\b403\b", Verdict.FINAL, "rights"),
    Cause(r"HTTP response to HTTPS client|first record does not look like a TLS", Verdict.FINAL, "plain HTTP"),
    Cause(r"x509|certificate", Verdict.LATER, "certificate"),
)

# The API server's own words for a refusal that stays; a proxy before it says none of them.
_FINAL_REASONS = frozenset((
    "AlreadyExists", "BadRequest", "Forbidden", "Invalid", "MethodNotAllowed", "NotAcceptable", "NotFound",
    "RequestEntityTooLarge", "Unauthorized", "UnsupportedMediaType",
))  # fmt: skip
_FINAL_STATUS = frozenset((401, 403, 413))  # also from a proxy: who asks is not let in, or asks for too much
_REFUSED = Cause("", Verdict.FINAL, "refused")
_AWAY = Cause("", Verdict.SOON, "outage")
_AWAY_STATUS = frozenset((408, 410, 425, 429))


def pull(words: str, image: str = "") -> Cause:
    """Why a node could not pull ``image``, from the kubelet's ``words``."""
    return find(PULL, _without_names(words, image))


def container(reason: str, words: str) -> Cause:
    """Why a container waits, from the kubelet's ``reason`` and ``words``, other than for its image's pull."""
    if reason == "InvalidImageName":
        return Cause("", Verdict.FINAL, "reference")
    if reason == "ErrImageNeverPull":
        return Cause("", Verdict.LATER, "missing")  # another node may have the image
    return find(CONTAINER, words)


def api(status: int | None, reason: str, words: str) -> Cause:
    """Why the API server refused; ``reason`` is the one of its Status object, empty where it sent none."""
    known = find(API, words)
    if known is not UNKNOWN:
        return known
    if status in _AWAY_STATUS or (status or 0) >= 500:
        return _AWAY
    return _REFUSED if status in _FINAL_STATUS or reason in _FINAL_REASONS else UNKNOWN


def push(words: str, image: str) -> Cause:
    """Why a builder could not push ``image``."""
    return find(PUSH, _without_names(words, image))


def _without_names(words: str, image: str) -> str:
    """``words`` without addresses, digests and the image's own name, which say nothing of why a pull failed.

    What else stands in quotes stays: gRPC quotes the cause itself.
    """
    words = re.sub(r"https?://[^\s\"'\\,]+", " ", words)
    words = re.sub(r"sha256:[0-9a-f]+", " ", words)
    words = re.sub(r"reading manifest \S+ in", "reading manifest in", words)  # CRI-O names the tag alone
    host_and_path = re.sub(r"(@.*|:[^/]*)$", "", image)
    path = re.sub(r"^[^/]*[.:][^/]*/|^localhost/", "", host_and_path)
    if not path:
        return words
    delimiter = r"\s\"'`\[\](),="
    return re.sub(
        rf"(?<![^{delimiter}/])[^{delimiter}]*(?<![\w.-]){re.escape(path)}(?![\w.-]|/\w)[^{delimiter}]*", " ", words
    )
