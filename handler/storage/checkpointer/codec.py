"""Bytes for values and record bodies: LangGraph's serde for what is the graph's, msgpack + zstd around it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import ormsgpack
import zstandard
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from handler.storage.checkpointer.dictionary import DICTIONARY_1

Typed = tuple[str, bytes]
"""What a serde makes of a value: the name of the format, and the bytes."""

COMPRESSED, CIPHERED, COMPRESSED_WITH_1 = b"\x01", b"\x02", b"\x03"
"""The first byte of a sealed body: compressed · encrypted · compressed with the first dictionary."""

LEVEL = 6
"""Level for a small body, where the price is paid per started KB and the CPU per call."""

FAST_LEVEL = 1
"""Level from `FAST_FROM` bytes on: a third of the CPU, a tenth more bytes. 106 KB of chat: 36 KB in 0.34 ms, less than
the 0.41 ms that LangGraph's serde takes for it; deflate needs 1.3 ms for 38 KB."""

FAST_FROM = 16 * 1024

RAW_1 = zstandard.ZstdCompressionDict(DICTIONARY_1, dict_type=zstandard.DICT_TYPE_RAWCONTENT)

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

    def dump_elements(self, elements: list[Any]) -> list[bytes] | None:
        """Serialise the elements of a list, at once where their bytes tell where each ends; None as `dump_element`."""
        kind, data = self.serde.dumps_typed(elements)
        if kind != "msgpack":
            return None
        parts = split_extensions(data, len(list_header(len(elements))))
        if parts is not None:
            return parts
        singles = [self.dump_element(element) for element in elements]
        return None if None in singles else [part for part in singles if part is not None]

    def load_elements(self, parts: Sequence[bytes]) -> Any:
        """Deserialise a list from the bytes of its elements."""
        return self.serde.loads_typed(("msgpack", list_header(len(parts)) + b"".join(parts)))

    def seal(self, body: Any) -> bytes:
        """Pack, compress and, with a cipher, encrypt the body of an item."""
        packed = ormsgpack.packb(body, option=ormsgpack.OPT_NON_STR_KEYS)
        data = compressed(packed)
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
        return ormsgpack.unpackb(decompressed(data), option=ormsgpack.OPT_NON_STR_KEYS)


def compressed(packed: bytes) -> bytes:
    """Compress: a small body well and with a dictionary, a large one fast."""
    if len(packed) >= FAST_FROM:
        return COMPRESSED + zstandard.ZstdCompressor(level=FAST_LEVEL).compress(packed)
    return COMPRESSED_WITH_1 + zstandard.ZstdCompressor(level=LEVEL, dict_data=RAW_1).compress(packed)


def decompressed(data: bytes) -> bytes:
    """Undo `compressed`."""
    dictionary = None if data[:1] == COMPRESSED else RAW_1
    return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data[1:])


def list_header(length: int) -> bytes:
    """The msgpack header of a list."""
    if length < 16:
        return bytes([0x90 | length])
    return b"\xdc" + length.to_bytes(2, "big") if length < 1 << 16 else b"\xdd" + length.to_bytes(4, "big")


FIXED_EXTENSIONS = {0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}
"""Bytes of a msgpack extension of fixed size, by its first one."""

SIZED_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
"""Bytes that tell the length of a msgpack extension, by its first one; one more tells its type."""


def split_extensions(data: bytes, start: int) -> list[bytes] | None:
    """Cut apart msgpack values that follow each other; None if one is not an extension, as the serde's objects are."""
    parts: list[bytes] = []
    while start < len(data):
        first = data[start]
        if (length := SIZED_EXTENSIONS.get(first)) is not None:
            end = start + 2 + length + int.from_bytes(data[start + 1 : start + 1 + length], "big")
        elif (fixed := FIXED_EXTENSIONS.get(first)) is not None:
            end = start + fixed
        else:
            return None
        parts.append(data[start:end])
        start = end
    return parts


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
