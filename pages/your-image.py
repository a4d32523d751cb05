"""The former address of Your image: a link to it can be the first request of a server."""

from ui import frame

frame.run()
