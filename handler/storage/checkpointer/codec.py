"""Bytes for values and record bodies: LangGraph's serde for what is the graph's, msgpack + deflate around it."""

import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from handler.storage.checkpointer.dictionary import DICTIONARY_1

Typed = tuple[str, bytes]
"""What a serde makes of a value: the name of the format, and the bytes."""

DEFLATED, CIPHERED, DEFLATED_WITH_1 = b"\x01", b"\x02", b"\x03"
"""The first byte of a sealed body: deflated · encrypted · deflated with the first dictionary."""

LEVEL = 6
"""Deflate level of a small body, where the price is paid per started KB and the CPU per call."""

FAST_LEVEL = 1
"""Deflate level from `FAST_FROM` bytes on: a quarter of the CPU, a seventh more bytes (100 KB of chat: 0.9 against
4.0 ms, 26 against 23 KB)."""

FAST_FROM = 16 * 1024

EXACT = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
"""Pack plain values only: what else a value holds makes `packed_rows` give up."""


def make_serde(strict: bool, allowed: Iterable[tuple[str, ...]], aes_key: bytes | None) -> SerializerProtocol:
    """The serde of the service: msgpack, no pickle; `strict` reads back only allowed types; AES when there is a key."""
    modules: Any = tuple(allowed) or None
    plain = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=modules if strict else True)
    if aes_key is None:
        return plain
    return EncryptedSerializer.from_pycryptodome_aes(plain, key=aes_key)


class Codec:
    """One serde, as it stands at the moment of a call (a graph may swap it for one with a longer allow-list).

    Encryption covers whole bodies, after compression, so that equal elements stay comparable and compressible.
    """

    def __init__(self, serde: SerializerProtocol) -> None:
        self.cipher = serde.cipher if isinstance(serde, EncryptedSerializer) else None
        self.serde: SerializerProtocol = serde.serde if isinstance(serde, EncryptedSerializer) else serde
        # A list may be stored by its elements where the bytes of the list are a header and the bytes of its elements.
        self.splits = (
            isinstance(self.serde, JsonPlusSerializer)
            and type(self.serde).dumps_typed is JsonPlusSerializer.dumps_typed
            and type(self.serde).loads_typed is JsonPlusSerializer.loads_typed
        )

    def dump(self, value: Any) -> Typed:
        """Serialise a value."""
        return self.serde.dumps_typed(value)

    def load(self, typed: Sequence[Any]) -> Any:
        """Deserialise what `dump` returned."""
        return self.serde.loads_typed((typed[0], typed[1]))

    def dump_element(self, element: Any) -> bytes | None:
        """Serialise one element of a list; None when it has no bytes of its own (pickle)."""
        kind, data = self.serde.dumps_typed([element])
        return data[1:] if kind == "msgpack" else None

    def load_elements(self, parts: Sequence[bytes]) -> Any:
        """Deserialise a list from the bytes of its elements."""
        return self.serde.loads_typed(("msgpack", list_header(len(parts)) + b"".join(parts)))

    def seal(self, body: Any) -> bytes:
        """Pack, compress and, with a cipher, encrypt the body of an item."""
        packed = ormsgpack.packb(body, option=ormsgpack.OPT_NON_STR_KEYS)
        data = deflated(packed)
        if self.cipher is None:
            return data
        name, secret = self.cipher.encrypt(data)
        return CIPHERED + ormsgpack.packb([name, secret])

    def open(self, data: bytes) -> Any:
        """Undo `seal`."""
        if data[:1] == CIPHERED:
            if self.cipher is None:
                raise ValueError("The checkpoint is encrypted and the checkpointer has no key")
            name, secret = ormsgpack.unpackb(data[1:])
            data = self.cipher.decrypt(name, secret)
        return ormsgpack.unpackb(inflated(data), option=ormsgpack.OPT_NON_STR_KEYS)


def deflated(packed: bytes) -> bytes:
    """Compress: a small body well and with a dictionary, a large one fast."""
    if len(packed) >= FAST_FROM:
        return DEFLATED + zlib.compress(packed, FAST_LEVEL)
    deflater = zlib.compressobj(LEVEL, zdict=DICTIONARY_1)
    return DEFLATED_WITH_1 + deflater.compress(packed) + deflater.flush()


def inflated(data: bytes) -> bytes:
    """Undo `deflated`."""
    if data[:1] == DEFLATED:
        return zlib.decompress(data[1:])
    inflater = zlib.decompressobj(zdict=DICTIONARY_1)
    return inflater.decompress(data[1:]) + inflater.flush()


def list_header(length: int) -> bytes:
    """The msgpack header of a list."""
    if length < 16:
        return bytes([0x90 | length])
    return b"\xdc" + length.to_bytes(2, "big") if length < 1 << 16 else b"\xdd" + length.to_bytes(4, "big")


@lru_cache(maxsize=1024)
def message_name(cls: Any) -> str | None:
    """The name of a message class of LangChain's, which has plain fields and nothing else that is serialised."""
    name: str = cls.__name__
    return name if cls.__module__.startswith("langchain_core.messages.") else None


def packed_rows(elements: Sequence[Any]) -> bytes | None:
    """A list's elements packed one after the other, messages field by field; None: there are others than plain values.

    Equal bytes mean equal serialised elements, and cost a fifth of those for messages, which long lists are made of.
    """
    rows: list[Any] = []
    for element in elements:
        cls: Any = type(element)
        name = message_name(cls)
        rows += (0, element) if name is None else (name, element.__dict__, element.__pydantic_extra__)
    try:
        packed = ormsgpack.packb(rows, option=EXACT)
    except (TypeError, ValueError):
        return None
    return packed[len(list_header(len(rows))) :]
