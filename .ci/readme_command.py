"""Prints the first or second command of README.md, so that CI runs what the README says."""

import pathlib
import re
import sys

readme = pathlib.Path(__file__).parents[1] / "README.md"
blocks = re.findall(r"```bash\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
print(blocks[int(sys.argv[1]) - 1])
