"""What is refused at the door: an admission server for the three kinds.

It refuses nothing that the reconcilers would take: what it asks are their own functions, those of
`api` and those that `cli` hands in (`Rules`).  It may be off or dead: then the reconcilers refuse.
"""
