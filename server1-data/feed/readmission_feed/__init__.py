"""An HTTP feed of encounters, as an external hospital would deliver them.

It represents another party: it shares only the wire format with the loader that reads it, no code.
"""
