"""An RTSP camera, as a program of its own (GStreamer's RTSP server): a ball that moves, 20 pictures a second.

    /usr/bin/python3 rtsp_camera.py PORT [LOSE_EVERY]

Prints its port when it is there. With LOSE_EVERY every so manyth picture is lost on its way to the wire.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=20/1"
    " ! identity name=wire ! jpegenc quality=95 ! rtpjpegpay name=pay0 pt=26 )"
)


def main():
    lose_every = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)

    def lose(_factory, media):
        count = [0]

        def passing(_pad, _info):
            count[0] += 1
            return Gst.PadProbeReturn.DROP if count[0] % lose_every == 0 else Gst.PadProbeReturn.OK

        pad = media.get_element().get_by_name("wire").get_static_pad("src")
        pad.add_probe(Gst.PadProbeType.BUFFER, passing)

    if lose_every:
        factory.connect("media-configure", lose)
    server.get_mount_points().add_factory("/top", factory)
    if not server.attach(None):
        raise SystemExit(f"nobody can listen at port {sys.argv[1]}")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
