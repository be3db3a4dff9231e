"""python3 -m ftc rows FILE...: the rows of Parquet and Arrow files as JSON lines, for the command ftc:

python3 -m ftc rows train.parquet | ftc run --train - --format json …

Columns of classes that datasets has given names (ClassLabel) have these names in place of numbers.
"""

import os
import sys

from . import Error
from ._rows import json_lines, read_rows


def main() -> int:
    if len(sys.argv) < 3 or sys.argv[1] != "rows":
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        rows = read_rows(*sys.argv[2:])
        for column, names in rows.class_names.items():
            shown = [f"{i} → {name}" for i, name in enumerate(names[:10])] + ["…"] * (len(names) > 10)
            print(f'python3 -m ftc rows: classes of "{column}" by name: {", ".join(shown)}', file=sys.stderr)
        for line in json_lines(rows):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Error, ImportError, OSError) as error:
        print(f"python3 -m ftc rows: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
