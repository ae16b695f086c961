"""The clients that are measured, one module each, with the same two functions.

``throughput(address, stream)`` receives a whole stream as fast as it can; ``paced(address, stream)`` one message at
a time. Both return what they noted, in the words of :mod:`.reception`. Counting is the same in all that call back: a
method, and the count in its object. The others than ours decode nothing.
"""
