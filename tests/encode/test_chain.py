"""A chain of hashes over what was sent can be computed again from what receivers wrote, and only from that."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from exporter.config import Batch
from exporter.encode.canonical import FLAT_MEMBERS
from exporter.encode.chain import Chain, Signer, first, key_id, linked, signed
from exporter.encode.fluent import FluentEncoder
from exporter.encode.otlp import LogsEncoder
from exporter.encode.otlp_json import LogsJsonEncoder
from exporter.encode.reading import Told, told_of_line
from exporter.errors import ConfigError
from exporter.model import SEQUENCE, Event, Keep, Payload, Stream
from exporter.probes.agent import CHAIN_SIGNED
from tests.encode.arrivals import collector_line, fluent_lines
from tests.encode.events import (
    ALL_KINDS,
    KNOCK,
    TOUCH,
    make_agent_event,
    make_event,
    make_process,
    make_stream,
    workloads,
)

WHOLE = Batch(max_records=1_000_000, max_bytes=1 << 40)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EVERYTHING: dict[str, Keep] = {kind.name: lambda _name: True for kind in ALL_KINDS}


def pem(key: Ed25519PrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def secret(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(secret(tmp_path_factory.mktemp("keys") / "key.pem", pem(KEY)))


def otlp(events: list[Event], stream: Stream, chain: Chain, keep: dict[str, Keep], chance: Random) -> list[bytes]:
    encoder = LogsEncoder(ALL_KINDS, keep, WHOLE, "1", stream, chain)
    return [collector_line(LogsData.FromString(p.data), chance) for p in _sent(encoder, events)]


def otlp_json(events: list[Event], stream: Stream, chain: Chain, keep: dict[str, Keep], _chance: Random) -> list[bytes]:
    return [p.data for p in _sent(LogsJsonEncoder(ALL_KINDS, keep, WHOLE, "1", stream, chain), events)]


def fluent(events: list[Event], stream: Stream, chain: Chain, keep: dict[str, Keep], chance: Random) -> list[bytes]:
    encoder = FluentEncoder(ALL_KINDS, keep, WHOLE, "t", stream, chain)
    return [line for payload in _sent(encoder, events) for line in fluent_lines(payload, chance)]


def _sent(encoder: LogsEncoder | LogsJsonEncoder | FluentEncoder, events: list[Event]) -> Iterator[Payload]:
    yield from encoder.encode(events)
    yield from encoder.flush()


WAYS = {"otlp": otlp, "otlp_json": otlp_json, "fluent": fluent}
every_way = pytest.mark.parametrize("way", WAYS)


def told(lines: list[bytes]) -> list[Told]:
    """All records of the lines, in the order of their numbers."""
    return sorted((record for line in lines for record in told_of_line(line)), key=lambda record: record.sequence or 0)


def broken(records: list[Told], before: bytes) -> list[int | None]:
    """The numbers of records whose hash is not the one they tell."""
    found = []
    for record in records:
        if linked(before, record.canonical).hex() != record.chain:
            found.append(record.sequence)
        before = bytes.fromhex(record.chain)
    return found


OF_RECORDS = FLAT_MEMBERS | {name for kind in ALL_KINDS for name in kind.attributes}


def as_fluent_can(sent: list[Event]) -> None:
    """Times of 32-bit seconds; no name both of the record and of its Resource: our own never are (`test_fluent`)."""
    for event in sent:
        event.time %= 2**32 * 10**9
        for name in [n for n in event.resource.attributes if n in OF_RECORDS or n.startswith("podwitness.")]:
            del event.resource.attributes[name]


def events(count: int) -> list[Event]:
    return [make_event(KNOCK, make_process(), (f"text {n}", n), uid=f"uid-{n}") for n in range(count)]


@every_way
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=workloads(events=25), number=st.integers(1, 1 << 62), seed=st.integers())
def test_whatever_was_sent_the_chain_holds_in_what_the_receiver_wrote(
    way: str, signer: Signer, sent: list[Event], number: int, seed: int
) -> None:
    if way == "fluent":
        as_fluent_can(sent)
    stream = make_stream(number)
    records = told(WAYS[way](sent, stream, Chain(stream, signer), EVERYTHING, Random(seed)))
    assert [record.sequence for record in records] == list(range(number, number + len(sent)))
    assert broken(records, first(stream.id)) == []
    assert stream.chain.hex() == records[-1].chain
    assert [record.time for record in records] == [event.time for event in sent]
    assert {record.event_name for record in records} == {event.kind.event_name for event in sent}
    assert {(record.sink, record.stream) for record in records} == {(stream.sink, stream.id)}


@every_way
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=workloads(events=15), data=st.data())
def test_the_chain_is_over_what_field_filters_leave(
    way: str, signer: Signer, sent: list[Event], data: st.DataObject
) -> None:
    if way == "fluent":
        as_fluent_can(sent)
    names = sorted({n for e in sent for n in (*e.kind.attributes, *e.resource.attributes)})
    dropped = data.draw(st.sets(st.sampled_from(names)))
    keep: dict[str, Keep] = {kind.name: lambda name: name not in dropped for kind in ALL_KINDS}
    stream = make_stream()
    records = told(WAYS[way](sent, stream, Chain(stream, signer), keep, Random(0)))
    assert broken(records, first(stream.id)) == []
    gone = dropped - {SEQUENCE, *CHAIN_SIGNED.own}  # without these nobody could check it
    assert not any(gone & record.attributes.keys() for record in records)


@every_way
def test_a_hash_is_that_of_the_hash_before_and_the_canonical_form(way: str, signer: Signer) -> None:
    stream = make_stream()
    one, two = told(WAYS[way](events(2), stream, Chain(stream, signer), EVERYTHING, Random(0)))
    beginning = sha256(stream.id.encode()).digest()
    assert one.chain == sha256(beginning + one.canonical).hexdigest()
    assert two.chain == sha256(bytes.fromhex(one.chain) + two.canonical).hexdigest()


def test_the_canonical_form_is_as_documented(signer: Signer) -> None:
    event = make_event(KNOCK, make_process(), ('say "hi"\n', 1 << 63))
    stream = make_stream(9)
    (in_otlp,) = told(otlp([event], stream, Chain(stream, signer), EVERYTHING, Random(0)))
    assert in_otlp.canonical.decode() == (
        '{"body":"knock port=9223372036854775808 pid=41822","event_name":"podwitness.test.knock",'
        '"observed_time_unix_nano":1795166102119500000,"podwitness.sink":"siem","podwitness.stream.id":"5eed5eed5eed5eed",'
        '"record":{"a.port":"9223372036854775808","a.text":"say \\"hi\\"\\n","log.record.uid":"boot-l-0-0",'
        '"podwitness.event.sequence":9,"process.command_args":["bash","-c","id"],'
        '"process.executable.path":"/usr/bin/bash","process.pid":41822},'
        '"resource":{"host.name":"node-1","k8s.namespace.name":"shop","k8s.pod.name":"checkout-7d9c"},'
        '"severity_number":9,"span_id":"08090a0b0c0d0e0f","time_unix_nano":1795166102114000000,'
        '"trace_id":"000102030405060708090a0b0c0d0e0f"}'
    )
    stream = make_stream(9)
    (flat,) = told(fluent([event], stream, Chain(stream, signer), EVERYTHING, Random(0)))
    assert flat.canonical.decode() == (
        '{"a.port":9223372036854775808,"a.text":"say \\"hi\\"\\n","event_name":"podwitness.test.knock",'
        '"host.name":"node-1","k8s.namespace.name":"shop","k8s.pod.name":"checkout-7d9c","log.record.uid":"boot-l-0-0",'
        '"message":"knock port=9223372036854775808 pid=41822","observed_time_unix_nano":1795166102119500000,'
        '"podwitness.event.sequence":9,"podwitness.sink":"siem","podwitness.stream.id":"5eed5eed5eed5eed",'
        '"process.command_args":["bash","-c","id"],"process.executable.path":"/usr/bin/bash","process.pid":41822,'
        '"severity_number":9,"span_id":"08090a0b0c0d0e0f","time_unix_nano":1795166102114000000,'
        '"trace_id":"000102030405060708090a0b0c0d0e0f"}'
    )


CHANGES = {
    "a value": (b"text 3", b"text 4"),
    "a number": (b'41822"}' + b"", b'41823"}'),
    "the body": (b"knock port=3", b"knock port=0"),
    "the time": (b"1795166102114000000", b"1795166102114000001"),
    "the pod": (b"checkout-7d9c", b"checkout-7d9d"),
    "who": (b"000102030405060708090a0b0c0d0e0f", b"100102030405060708090a0b0c0d0e0f"),
    "the type": (b'"severityNumber":9', b'"severityNumber":5'),
    "one value hidden behind another": (
        b'{"key":"a.text","value":{"stringValue":"text 3"}}',
        b'{"key":"a.text","value":{"stringValue":"fake"}},{"key":"a.text","value":{"stringValue":"text 3"}}',
    ),
    "a field that we never send": (b'"severityNumber":9', b'"severityNumber":9,"severityText":"DEBUG"'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_record_no_longer_has_its_hash(change: str, signer: Signer) -> None:
    stream = make_stream()
    encoder = LogsJsonEncoder(ALL_KINDS, EVERYTHING, Batch(max_records=1), "1", stream, Chain(stream, signer))
    lines = [payload.data for payload in encoder.encode(events(6))]
    assert broken(told(lines), first(stream.id)) == []
    old, new = CHANGES[change]
    assert old in lines[3]
    lines[3] = lines[3].replace(old, new, 1)
    assert broken(told(lines), first(stream.id)) == [4]


@pytest.mark.parametrize("way", ["otlp_json", "fluent"])
def test_a_record_dropped_swapped_or_inserted_breaks_the_chain_where_it_was(way: str, signer: Signer) -> None:
    stream = make_stream()
    records = told(WAYS[way](events(6), stream, Chain(stream, signer), EVERYTHING, Random(0)))
    start = first(stream.id)
    assert broken(records[:2] + records[3:], start) == [4]
    assert broken([*records[:2], records[3], records[2], *records[4:]], start) == [4, 3, 5]
    assert broken([*records[:3], records[1], *records[3:]], start) == [2, 4]


@every_way
def test_a_signature_vouches_for_all_before_it_and_is_a_link_itself(way: str, signer: Signer) -> None:
    stream = make_stream(41)
    chain = Chain(stream, signer)
    sent = [*events(3), make_agent_event(CHAIN_SIGNED, None, None), *events(1)]
    records = told(WAYS[way](sent, stream, chain, EVERYTHING, Random(0)))
    assert broken(records, first(stream.id)) == []
    signature = records[3]
    assert signature.event_name == "podwitness.agent.chain_signed"
    assert signature.attributes["podwitness.chain.key_id"] == signer.key_id == key_id(signer.public)
    assert sent[3].values == (None, None)  # other sinks have other chains

    said = _decoded(signature)
    message = signed(stream.id, 44, bytes.fromhex(records[2].chain))
    public = Ed25519PublicKey.from_public_bytes(signer.public)
    public.verify(said, message)
    with pytest.raises(InvalidSignature):
        public.verify(said, signed(stream.id, 45, bytes.fromhex(records[2].chain)))


def _decoded(record: Told) -> bytes:
    import base64

    return base64.b64decode(record.attributes["podwitness.chain.signature"], validate=True)


def test_what_is_signed_begins_with_what_it_is_for() -> None:
    assert signed("5eed", 258, b"h" * 32) == b"podwitness chain v1\x005eed\0\0\0\0\0\0\x01\x02" + b"h" * 32


def test_a_signature_is_due_while_a_record_came_since_the_last(signer: Signer) -> None:
    stream = make_stream()
    chain = Chain(stream, signer)
    encoder = LogsEncoder(ALL_KINDS, EVERYTHING, WHOLE, "1", stream, chain)
    signature = make_agent_event(CHAIN_SIGNED, None, None)
    assert not chain.unsigned
    list(encoder.encode(events(2)))
    assert chain.unsigned
    list(encoder.encode([signature]))
    assert not chain.unsigned
    list(encoder.encode(events(1)))
    assert chain.unsigned
    list(encoder.encode([signature]))
    stream.id, stream.next, stream.chain = "another", 1, b""  # begun anew
    assert not chain.unsigned


def test_a_chain_goes_on_where_the_last_agent_left_it_and_a_new_stream_has_a_new_one(signer: Signer) -> None:
    stream = make_stream()
    lines = otlp_json(events(2), stream, Chain(stream, signer), EVERYTHING, Random(0))
    lines += otlp_json(events(2), stream, Chain(stream, signer), EVERYTHING, Random(0))
    assert broken(told(lines), first(stream.id)) == []

    encoder = LogsJsonEncoder(ALL_KINDS, EVERYTHING, WHOLE, "1", stream, Chain(stream, signer))
    assert not list(encoder.encode(events(1)))
    stream.id, stream.next, stream.chain = "another", 1, b""
    lines += [payload.data for payload in _sent(encoder, events(2))]
    records = told(lines)
    assert broken([r for r in records if r.stream == "another"], first("another")) == []
    assert broken([r for r in records if r.stream != "another"], first("5eed5eed5eed5eed")) == []


@every_way
def test_an_event_that_cannot_be_encoded_is_no_link(way: str, signer: Signer) -> None:
    stream = make_stream()
    chain = Chain(stream, signer)
    bad = make_event(KNOCK, make_process(), ("", {"no": object()}))  # type: ignore[arg-type]
    lines = WAYS[way](events(2), stream, chain, EVERYTHING, Random(0))
    before = (stream.next, stream.chain)
    with pytest.raises((TypeError, OverflowError, KeyError)):
        WAYS[way]([bad], stream, chain, EVERYTHING, Random(0))
    assert (stream.next, stream.chain) == before
    lines += WAYS[way](events(2), stream, chain, EVERYTHING, Random(0))
    assert broken(told(lines), first(stream.id)) == []


def test_without_a_chain_nothing_tells_of_one() -> None:
    stream = make_stream()
    keep = EVERYTHING
    for encoder in (
        LogsEncoder(ALL_KINDS, keep, WHOLE, "1", stream),
        LogsJsonEncoder(ALL_KINDS, keep, WHOLE, "1", stream),
        FluentEncoder(ALL_KINDS, keep, WHOLE, "t", stream),
    ):
        (payload,) = _sent(encoder, [make_event(TOUCH, make_process())])
        assert b"podwitness.chain" not in payload.data
    assert stream.chain == b""


def test_a_signer_reads_what_openssl_makes(tmp_path: Path) -> None:
    made = (
        b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
        b"-----END PRIVATE KEY-----\n"
    )
    signer = Signer(secret(tmp_path / "key", made))
    # RFC 8032, 7.1, test 1.
    assert signer.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


@pytest.mark.parametrize(
    ("content", "mode", "what"),
    [
        (b"no key", 0o600, "is no private key in PEM"),
        (b"", 0o600, "is no private key in PEM"),
        (pem(KEY, BestAvailableEncryption(b"password")), 0o600, "is encrypted"),
        (
            generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            0o600,
            "is no Ed25519 key",
        ),
        (KEY.public_key().public_bytes_raw(), 0o600, "is no private key in PEM"),
        (pem(KEY), 0o604, "is open to every user of this machine"),
    ],
)
def test_a_key_file_that_is_none_is_refused_with_what_to_do(
    tmp_path: Path, content: bytes, mode: int, what: str
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"tamper_evidence.key_file: {path} {what}") as caught:
        Signer(str(path))
    assert caught.value.hint
    assert "PRIVATE" not in str(caught.value)


def test_a_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: t: .*none cannot be read: No such file"):
        Signer(str(tmp_path / "none"), where="c.yaml: t")
