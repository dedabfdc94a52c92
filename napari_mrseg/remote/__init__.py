"""The engine on another computer: :mod:`.server` answers there over HTTP, :mod:`.client` asks as a predictor here.

:mod:`.wire` is what both say to each other: JSON, and arrays as safetensors, compressed. Nothing is pickled, no name of
a patient, a file or a folder is sent.
"""
