"""What the wire says: enumerations, models, events, messages, and the codec. No I/O, no threads, no clock."""
