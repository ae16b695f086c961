"""The measurements, one module each: ``measure(bench)`` makes one and says what came of it, in sections."""
