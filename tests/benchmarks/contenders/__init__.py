"""The clients that are measured, one module each, with the same two functions.

``throughput(address, stream)`` receives a whole stream as fast as it can; ``paced(address, stream)`` one message at
a time. Both return what they noted, in the words of :mod:`.reception`. The others than ours decode nothing: they call
back with the payload.
"""
