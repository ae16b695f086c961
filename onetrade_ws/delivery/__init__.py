"""Bringing events to the user: queue, observers, dispatcher, waiting."""
