"""The whole study as jobs that know what they need, recognise their own artefact and run themselves.

`plan` lists them, `run` runs what is not done."""
