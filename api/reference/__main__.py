"""`python -m api.reference`: prints docs/api.md."""

import sys

from api.reference.page import page

if __name__ == "__main__":
    sys.stdout.write(page())
