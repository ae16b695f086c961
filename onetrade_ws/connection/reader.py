"""The read loop: what ``WebSocketApp.run_forever(dispatcher=…)`` is given to drive the frames."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

from ..protocol.frames import HEARTBEAT_REPLY, Frame, Opcode
from .stream import Stream

# A batch ends where the network has nothing more to give, and here, so that a flood is not one batch.
_BATCH_FRAMES = 1000
_BATCH_BYTES = 128 * 1024


class FrameReader:
    """Reads whole messages from websocket-client and hands them on in batches: on the reader thread.

    It never decodes. The heartbeat's answer is swallowed here; websocket-client answers pings and close frames.

    :param stream: where websocket-client receives from
    :param on_open: called before anything is read
    :param on_frames: called with each batch; it may block, and nothing is read meanwhile
    :param on_heartbeat_reply: called for each "10"
    """

    def __init__(
        self,
        stream: Stream,
        *,
        on_open: Callable[[], None],
        on_frames: Callable[[List[Frame]], None],
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
        self._stream = stream
        self._on_open = on_open
        self._on_frames = on_frames
        self._on_heartbeat_reply = on_heartbeat_reply
        self._batch: List[Frame] = []
        self._batch_bytes = 0

    # Called by websocket-client. The callback that it passes would read one message and call the app's handlers; on
    # an error it would log, close and wait. Reading from its public WebSocket object leaves all that to us.
    def read(self, sock: object, read_callback: object) -> None:
        """Read until the connection ends. Never raises."""
        websocket = self.websocket()
        # Not where the buffer is empty: it may hold half a frame, whose other half may never come.
        self._stream.before_wait = self._hand_on
        try:
            self.opened = True
            self._on_open()
            while self.close_frame is None:
                self._read_message(websocket)
        except Exception as error:  # noqa: BLE001 - the transport says what each one means
            self.error = error
        finally:
            self._hand_on()

    def _read_message(self, websocket: Any) -> None:
        opcode, frame = websocket.recv_data_frame(True)
        if opcode == Opcode.CLOSE:
            code = int.from_bytes(frame.data[:2], "big") if len(frame.data) >= 2 else None
            self.close_frame = code, frame.data[2:].decode("utf-8", "replace")
        elif opcode in (Opcode.TEXT, Opcode.BINARY):
            if opcode == Opcode.TEXT and frame.data == HEARTBEAT_REPLY:
                self._on_heartbeat_reply()
            else:
                self._batch.append(Frame(opcode, bytes(frame.data), self._stream.received_at))
                self._batch_bytes += len(frame.data)
        if len(self._batch) >= _BATCH_FRAMES or self._batch_bytes >= _BATCH_BYTES:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._batch:
            batch, self._batch, self._batch_bytes = self._batch, [], 0
            self._on_frames(batch)

    # -- what else websocket-client asks of a dispatcher ----------------------------------------------------

    def buffwrite(self, sock: Stream, data: bytes, send: object, on_disconnect: object) -> None:
        """Every write of websocket-client from version 1.9 on; older ones send to the stream directly."""
        sock.send(data)

    def timeout(self, seconds: float, callback: object, *arguments: object) -> None:
        """Asked to reconnect after a failed handshake: that is the supervisor's to decide."""

    def signal(self, number: int, handler: object) -> None:
        """Asked to handle Ctrl-C: a library leaves signals to the program."""

    def abort(self) -> None:
        """The handler that goes with :meth:`signal`: never called."""
