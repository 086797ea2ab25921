# `python -m` puts the current folder before everything: what lies there is not imported, and first of all not
# by a line above this one, such as `from __future__`.
if __name__ == "__main__":
    import os
    import sys

    if not getattr(sys.flags, "safe_path", False) and sys.path[:1] == [os.path.abspath("")]:  # noqa: PTH100
        del sys.path[0]

    from edgeseg.cli import main

    main()
