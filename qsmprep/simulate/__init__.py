"""
Simulated heads with known truth.

* `anatomy` tissues and where they lie, `head` a head on a grid
* `lesions` what lies in its white matter, `lesion_files` how that is written
* `signal` the physics of field and echoes, `acquisition` a head in a scanner
* `codings` how scanners store phase, `dataset` and `truth` the files, `cli` the command
"""
