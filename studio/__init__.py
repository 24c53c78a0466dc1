"""The studio: a web page over the editing core, to look, select, move, stitch and save.

    workspace.py   the session, its script on disk, saving        gestures.py   pointer to edit
    pictures.py    the full scene, by our renderer                proxy.py      what the page draws
    histogram.py   a property of a layer, counted and drawn       uploads.py    what a user sends
    job.py         stitching beside the page                      gate.py       who may connect
    still.py       a picture whenever the camera rests            page.py       viser, only there
    panels.py      the controls                                   tools.py      pointer and gizmos

All that a user does becomes an edit of a script (`stages/formats/edits.py`), so `pipeline apply`
replays what was done here to the same bytes. Only `page.py` knows viser, and nothing below
`panels.py` knows the page: it is tested without a browser.
"""
