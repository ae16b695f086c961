"""The read loop: what ``WebSocketApp.run_forever(dispatcher=…)`` is given to drive the frames."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple, Union

from ..errors import ProtocolError
from ..protocol.frames import HEARTBEAT_REPLY, Batch, CloseCode, Opcode
from .buffer import ReceiveBuffer

# Of a first byte: FIN set, nothing reserved, text or binary.
_PLAIN = frozenset({0x80 | Opcode.TEXT, 0x80 | Opcode.BINARY})
_TEXT = 0x80 | Opcode.TEXT
_FIN = 0x80
_RESERVED = 0x70
_MASKED = 0x80
_CONTROL = 0x08
# RFC 6455, 5.5
_CONTROL_LIMIT = 125
_OPCODES = frozenset(Opcode)
# A frame that is larger is not waited for in the buffer, where each chunk would be copied behind the last.
_WAITED_FOR = 64 * 1024
# So that the consumer of a flood begins before all of a chunk is cut, and is not given much more than it can hold.
_PIECE = 64 * 1024
# What is received of a message that is not cut is kept in blocks of at least so many bytes: one for each fragment would
# take more than its bytes, and one for all would be copied as it grows, and be there twice.
_BLOCK = 64 * 1024


class FrameReader:
    """Reads messages and hands them on in batches: on the reader thread.

    Plain frames it cuts out of the buffer: whole messages, not masked, within the limit. Of every other frame it looks
    at the header first, so that nothing that is too large is received. Large frames and fragments it then puts
    together; control frames it leaves to be read by websocket-client. It never decodes. The heartbeat's answer is
    swallowed here.

    What breaks the protocol ends the reading with :exc:`.ProtocolError`. Where RFC 6455 leaves no choice and
    websocket-client does not look, it is stricter: frames that are masked, and control frames that are fragmented
    or too long.

    :param buffer: where websocket-client receives from, too
    :param limit: bytes that a message may have, its fragments together
    :param strict_utf8: whether a text message that is not UTF-8 breaks the protocol
    :param on_open: called before anything is read
    :param on_batches: called with what came, in its order; it may block, and nothing is read meanwhile
    :param on_heartbeat_reply: called for each "10"
    """

    def __init__(
        self,
        buffer: ReceiveBuffer,
        *,
        limit: int,
        strict_utf8: bool,
        on_open: Callable[[], None],
        on_batches: Callable[[List[Batch]], None],
        on_heartbeat_reply: Callable[[], None],
    ) -> None:
        #: The websocket-client connection, once there is one.
        self.websocket: Callable[[], Any] = lambda: None
        #: Whether the handshake was completed.
        self.opened = False
        #: Why reading ended: what was raised, or None after the peer's close frame.
        self.error: Optional[BaseException] = None
        #: The peer's close frame: code, or None when it held none, and reason.
        self.close_frame: Optional[Tuple[Optional[int], str]] = None
        self._buffer = buffer
        self._limit = limit
        self._strict_utf8 = strict_utf8
        self._on_open = on_open
        self._on_batches = on_batches
        self._on_heartbeat_reply = on_heartbeat_reply
        self._batches: List[Batch] = []
        # Where in the chunk what has been cut so far is handed on.
        self._piece_end = 0
        # The message whose fragments are coming: its opcode, 0 when there is none, what it has so far, and how much.
        self._fragmented: int = 0
        self._blocks: List[Union[bytes, bytearray]] = []
        self._length = 0

    # Called by websocket-client. The callback that it passes would read one message and call the app's handlers; on
    # an error it would log, close and wait. Reading from its public WebSocket object leaves all that to us.
    def read(self, sock: object, read_callback: object) -> None:
        """Read until the connection ends. Never raises."""
        try:
            self.opened = True
            self._on_open()
            self.read_until_end(self.websocket())
        except Exception as error:  # noqa: BLE001 - the transport says what each one means
            self.error = error

    def read_until_end(self, websocket: Any) -> None:
        """Read until the peer's close frame.

        :param websocket: the connection of websocket-client, which receives through the same buffer
        :raises ProtocolError: when the peer breaks the protocol
        """
        try:
            while self.close_frame is None:
                self._piece_end = self._buffer.position + _PIECE
                if self._cut_plain_frames():
                    self._hand_on()
                    self._buffer.more()
                else:
                    self._read_other_frame(websocket)
        finally:
            self._hand_on()

    def _cut_plain_frames(self) -> bool:
        """Cut frames off the buffer, as long as they are plain and whole.

        :returns: whether to go on when more has been received; otherwise the next frame is not for here
        """
        buffer = self._buffer
        while not self._fragmented:
            first = buffer.chunk[buffer.position] if buffer.available >= 2 else None
            if first is None:
                return True
            if first not in _PLAIN:
                return False
            payloads: List[bytes] = []
            try:
                whole = self._cut_alike(first, payloads)
            finally:
                if payloads:
                    self._batches.append(Batch(first & 0x0F, payloads, buffer.received_at))
            if whole is not None:
                return whole
            if buffer.position >= self._piece_end:
                self._hand_on()
                self._piece_end = buffer.position + _PIECE
        return False

    def _cut_alike(self, first: int, payloads: List[bytes]) -> Optional[bool]:
        """Cut off frames that begin with ``first``. This is where each frame costs time.

        :returns: None when something else follows or the piece is large enough, else as for :meth:`_cut_plain_frames`
        """
        buffer, limit, text, strict = self._buffer, self._limit, first == _TEXT, self._strict_utf8
        chunk, position = buffer.chunk, buffer.position
        end = len(chunk)
        piece_end = min(self._piece_end, end - 1)
        append = payloads.append
        try:
            while position < piece_end:
                if chunk[position] != first:
                    return None
                length = chunk[position + 1]
                start = position + 2
                if length == 126:
                    start += 2
                    if start > end:
                        return True
                    length = (chunk[position + 2] << 8) + chunk[position + 3]
                elif length > 126:
                    start += 8
                    if length > 127:
                        return False
                    if start > end:
                        return True
                    length = int.from_bytes(chunk[position + 2 : start], "big")
                if length > limit:
                    return False
                stop = start + length
                if stop > end:
                    return stop - position <= _WAITED_FOR
                payload = chunk[start:stop]
                if text and (strict or length == 2):
                    if payload == HEARTBEAT_REPLY:
                        self._on_heartbeat_reply()
                        position = stop
                        continue
                    if strict:
                        _check_utf8(payload)
                append(payload)
                position = stop
            return None
        finally:
            buffer.position = position

    def _read_other_frame(self, websocket: Any) -> None:
        opcode, fin, size, length = self._check_header()
        if self._buffer.available < size + length:
            # It will be waited for: what came before it is not.
            self._hand_on()
        if opcode & _CONTROL:
            self._read_control_frame(websocket)
            return
        self._buffer.position += size
        self._fragmented = self._fragmented or opcode
        self._length += length
        self._receive_blocks(length)
        if fin:
            self._end_message()

    def _read_control_frame(self, websocket: Any) -> None:
        frame = websocket.recv_frame()
        data = bytes(frame.data)
        if frame.opcode == Opcode.PING:
            websocket.pong(data)
        elif frame.opcode == Opcode.CLOSE:
            self._close(data)

    def _check_header(self) -> Tuple[int, bool, int, int]:
        """Look at the next frame's header, which stays in the buffer.

        :returns: its opcode, whether it is a message's last, and how many bytes header and payload have
        :raises ProtocolError: when it is not allowed
        """
        buffer = self._buffer
        self._receive_at_least(2)
        first, length = buffer.chunk[buffer.position], buffer.chunk[buffer.position + 1]
        opcode, fin = first & 0x0F, bool(first & _FIN)
        if first & _RESERVED:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a reserved bit is set in a frame")
        if opcode not in _OPCODES:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"a frame of unknown opcode {opcode}")
        if length & _MASKED:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a masked frame")
        if opcode & _CONTROL:
            if not fin or length > _CONTROL_LIMIT:
                problem = "a fragmented" if not fin else "too long a"
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"{problem} control frame")
        elif (opcode == Opcode.CONTINUATION) is not bool(self._fragmented):
            problem = "a message inside a fragmented one" if self._fragmented else "a continuation of nothing"
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, problem)
        size = 2 + {126: 2, 127: 8}.get(length, 0)
        if size > 2:
            self._receive_at_least(size)
            length = int.from_bytes(buffer.chunk[buffer.position + 2 : buffer.position + size], "big")
        # A control frame may come between the fragments of a message, and is not part of it.
        if not opcode & _CONTROL and self._length + length > self._limit:
            raise ProtocolError(
                CloseCode.MESSAGE_TOO_BIG, f"a message of more than {self._limit} bytes (max_message_size)"
            )
        return opcode, fin, size, length

    def _receive_at_least(self, size: int) -> None:
        while self._buffer.available < size:
            self._hand_on()
            self._buffer.more()

    def _receive_blocks(self, length: int) -> None:
        blocks = self._blocks
        while length:
            data = self._buffer.recv(length)
            length -= len(data)
            if len(data) >= _BLOCK:
                blocks.append(data)
                continue
            if not blocks or len(blocks[-1]) >= _BLOCK:
                blocks.append(bytearray())
            blocks[-1] += data

    def _end_message(self) -> None:
        opcode, data = self._fragmented, b"".join(self._blocks)
        self._fragmented, self._blocks, self._length = 0, [], 0
        if opcode == Opcode.TEXT:
            if data == HEARTBEAT_REPLY:
                self._on_heartbeat_reply()
                return
            if self._strict_utf8:
                _check_utf8(data)
        self._batches.append(Batch(opcode, [data], self._buffer.received_at))

    def _close(self, data: bytes) -> None:
        code = int.from_bytes(data[:2], "big") if data else None
        try:
            reason = data[2:].decode("utf-8")
        except UnicodeDecodeError:
            raise ProtocolError(
                CloseCode.INVALID_PAYLOAD, "a close frame's reason that is not UTF-8"
            ) from None
        self.close_frame = code, reason

    def _hand_on(self) -> None:
        if self._batches:
            batches, self._batches = self._batches, []
            self._on_batches(batches)

    # -- what else websocket-client asks of a dispatcher ----------------------------------------------------

    def buffwrite(self, sock: Any, data: bytes, send: object, on_disconnect: object) -> None:
        """Every write of websocket-client from version 1.9 on; older ones send to the stream directly."""
        sock.send(data)

    def timeout(self, seconds: float, callback: object, *arguments: object) -> None:
        """Asked to reconnect after a failed handshake: that is the supervisor's to decide."""

    def signal(self, number: int, handler: object) -> None:
        """Asked to handle Ctrl-C: a library leaves signals to the program."""

    def abort(self) -> None:
        """The handler that goes with :meth:`signal`: never called."""


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        problem = ProtocolError(CloseCode.INVALID_PAYLOAD, "a text message that is not UTF-8")
    else:
        return
    raise problem
