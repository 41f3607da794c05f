"""For TouchDesigner: the callbacks of an OSC In DAT that fill a Table DAT named `joints`, a row a joint.

1. posecli run 0 --send osc://127.0.0.1:9000
2. Add an OSC In DAT with the port 9000, and turn its `Split Bundle into Messages` on.
3. Add a Table DAT beside it and name it `joints`.
4. Put this text into the OSC In DAT's callbacks.
"""

rows = {}  # (track ID, joint): x, y, confidence
seen = set()  # track IDs of the people in the newest frame


def onReceiveOSC(dat, rowIndex, message, byteData, timeStamp, address, args, peer):  # noqa: N802, N803
    """TouchDesigner calls this for each message. A frame's people come first, the frame itself last."""
    what, *which = address.split("/")[2:]
    if what == "person" and which[1] != "box":
        rows[int(which[0]), which[1]] = args
    elif what == "tracks":
        seen.clear()
        seen.update(args)
    elif what == "frame":
        for gone in [key for key in rows if key[0] not in seen]:
            del rows[gone]
        show(dat.parent().op("joints"))


def show(table):
    """Write all joints into the table."""
    table.clear()
    table.appendRow(["track", "joint", "x", "y", "confidence"])
    for (track, joint), values in rows.items():
        table.appendRow([track, joint, *values])
