"""Files that travel in messages, where the two processes do not see the same disk: chunks, packed where it pays, and
files that arrive chunk by chunk. Both processes send and receive.
"""
