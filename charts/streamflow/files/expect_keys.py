"""Sees that an API which wants keys answers nobody without one; the rest would need a key."""

import sys
import urllib.error
import urllib.request

url, mend = sys.argv[1:]
try:
    with urllib.request.urlopen(f"{url}/services", timeout=30) as answer:
        sys.exit(f"{url} answered {answer.status} without a key, though keys are configured")
except urllib.error.HTTPError as error:
    if error.code != 401:
        sys.exit(f"{url} answered {error.code} without a key, not 401")
with urllib.request.urlopen(f"{url}/readyz", timeout=30):
    print(f"{url} is ready and answers nobody without a key; no values were compared: {mend}")
