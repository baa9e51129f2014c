"""The certificates of a cluster: which there are, what is wrong with them, how they are made.

Pure: keys, serial numbers and the time are handed in.  Only `issue` ever holds a private key, which
`act_certificates` makes; `parse` looks whether one fits its certificate, and keeps nothing of it.
"""
