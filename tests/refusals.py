"""What every refused command looks like."""


def refused(ended, code, *words):
    """Exit code, nothing but one line on standard error, and in it these words."""
    assert ended.code == code, ended.err
    lines = ended.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), ended.err
    for word in words:
        assert word in lines[0], lines[0]
