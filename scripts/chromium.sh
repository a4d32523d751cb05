#!/bin/sh
# Make sure the browser tests find a Chromium: one on the PATH, else Debian's package, else Playwright's own build.
set -u
python=$1
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
"$python" - <<'EOF' && exit 0
import pathlib, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    sys.exit(not pathlib.Path(playwright.chromium.executable_path).exists())
EOF
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium with apt …"
    apt-get update -qq
    # Without windows it is smaller, and the tests take a tenth less.
    for name in chromium-headless-shell chromium; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$name" >/dev/null 2>&1
        command -v "$name" >/dev/null 2>&1 && exit 0
    done
fi
echo "Fetching Playwright's Chromium …"
"$python" -m playwright install chromium >/dev/null 2>&1 && exit 0
echo "The browser tests need a Chromium and none could be installed: install the package 'chromium', then run make test again." >&2
exit 2
