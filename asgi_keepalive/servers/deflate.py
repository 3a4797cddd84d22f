"""wsproto's permessage-deflate, for the two servers that parse with that library.

RFC 6455 5.4 lets control frames go between the fragments of a message. At one of them wsproto
forgets that the message is compressed, and delivers the rest of it as it came. A Pong is such a
frame, and a long message is when a Ping falls due.
"""

from __future__ import annotations

from wsproto.connection import Connection
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits


class _PerMessageDeflate(PerMessageDeflate):
    """It leaves control frames alone, which are never compressed (RFC 7692 6.1)."""

    _in_control_frame = False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        self._in_control_frame = opcode.iscontrol()
        if self._in_control_frame and not rsv.rsv1:
            return RsvBits(False, False, False)  # it uses none of them
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        if self._in_control_frame:
            return data
        return super().frame_inbound_payload_data(proto, data)

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        if self._in_control_frame:
            return None
        return super().frame_inbound_complete(proto, fin)


def keep_messages_whole(connection: Connection | None) -> None:
    """Let control frames go between the fragments of what a connection inflates.

    Args:
        connection: wsproto's own, after the handshake; `None` if there was none.
    """
    for extension in getattr(getattr(connection, "_proto", None), "extensions", ()):
        if type(extension) is PerMessageDeflate:
            extension.__class__ = _PerMessageDeflate
