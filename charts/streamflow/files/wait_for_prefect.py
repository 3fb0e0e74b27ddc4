"""Waits for Prefect's server so that the run is tracked; ends 0 even if it never answers."""

import sys
import time
from urllib.request import urlopen

url, seconds = sys.argv[1].rstrip("/") + "/health", float(sys.argv[2])
give_up = time.monotonic() + seconds
while True:
    try:
        urlopen(url, timeout=3).close()  # prefect.apiUrl, or our own Service
        print(f"Prefect answers at {url}")
        break
    except Exception as error:
        left = give_up - time.monotonic()
        if left <= 0:
            print(f"Prefect did not answer at {url} in {seconds:g} s; the run will not be tracked")
            break
        print(f"waiting for Prefect at {url}, {left:.0f} s left: {error}")
        time.sleep(2)
