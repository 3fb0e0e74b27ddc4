"""Sees that an API which wants keys answers nobody without one; the rest would need a key."""

import sys
import time
import urllib.error
import urllib.request

url, mend, seconds = sys.argv[1:]
give_up = time.monotonic() + float(seconds)


def status(path):
    """The API's status for a path; policies let a new pod through a moment after it has started."""
    while True:
        try:
            with urllib.request.urlopen(url + path, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError as error:
            if time.monotonic() >= give_up:
                sys.exit(f"{url} cannot be reached: {error}")
            time.sleep(1)


if (found := status("/services")) == 200:
    sys.exit(f"{url} answered 200 without a key, though keys are configured")
if found != 401:
    sys.exit(f"{url} answered {found} without a key, not 401")
if (found := status("/readyz")) != 200:
    sys.exit(f"{url}/readyz answered {found}")
print(f"{url} is ready and answers nobody without a key; no values were compared: {mend}")
