"""An HTTP feed of encounters, as an external hospital would deliver them.

It stands for another party: it shares no code with the loader that reads it, only the wire format.
"""
