"""How long a page takes until its first useful content stands there, on a fresh server and on a warm one.

    python benchmarks/first_content.py [PAGE ...] [--repeats 3] [--json]

Fresh: the first visit of a server that has just answered its health check, by a browser with an empty cache. Warm: visits of
the same server after the first, by a browser that has been there. Useful content is what a page is for (the pictures, the
chart or its progress, the list of models), not its heading. Medians, in seconds. The server has the data of `$ADVCORE_DATA`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import time

from playwright.sync_api import Browser, Page, sync_playwright
from served import server

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
MAIN = '[data-testid="stMain"]'
USEFUL = {
    "attack": f"{MAIN} canvas",
    "learn": f"{MAIN} h2",
    "why": f"{MAIN} canvas",
    "your_image": f"{MAIN} canvas, {MAIN} img",
    "accuracy": f'{MAIN} .js-plotly-plot, {MAIN} [data-testid="stProgress"]',
    "believe": f'{MAIN} h2, {MAIN} [data-testid="stProgress"]',
    "papers": f"{MAIN} .st-key-study button",
    "retrain": f'{MAIN} [data-testid="stBaseButton-primary"], {MAIN} [data-testid="stNumberInput"]',
    "models": f"{MAIN} [role=option]",
}
"""For each page the selector of its first useful content."""


def first_content(page: Page, url: str, name: str) -> float:
    """The seconds from opening the page to its first useful content."""
    start = time.perf_counter()
    page.goto(f"{url}/{'' if name == 'attack' else name}", wait_until="commit")
    page.locator(USEFUL[name]).first.wait_for(timeout=120_000)
    return time.perf_counter() - start


def measure(browser: Browser, name: str, repeats: int) -> dict[str, float]:
    """Medians in seconds for a page, fresh and warm."""
    fresh, warm = [], []
    for _ in range(repeats):
        with server() as (url, _), contextlib.closing(browser.new_context(viewport={"width": 1280, "height": 720})) as context:
            page = context.new_page()
            fresh.append(first_content(page, url, name))
            page.wait_for_timeout(1500)
            warm.append(first_content(page, url, name))
    return {"fresh_s": statistics.median(fresh), "warm_s": statistics.median(warm)}


def main() -> None:
    """Measure the pages and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(USEFUL)} (default: all)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-headless-shell"), args=FLAGS
        )
        for name in options.pages or USEFUL:
            rows[name] = measure(browser, name, options.repeats)
            if not options.json:
                print(f"{name:<12} fresh {rows[name]['fresh_s']:6.2f} s   warm {rows[name]['warm_s']:6.2f} s", flush=True)
        browser.close()
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
