"""docs/report.jpg: the page of the demo's clip in headless Chromium. python scripts/shoot_report.py"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
from selenium import webdriver

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "posecli-demo-1"  # where `demo` writes
        command = [sys.executable, "-m", "posecli"]
        subprocess.run([*command, "demo"], check=True, cwd=folder)
        subprocess.run([*command, "report", str(demo / "clip.pose.json")], check=True)
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1120"):
            options.add_argument(argument)
        browser = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
        )
        try:
            browser.get((demo / "clip.pose.html").as_uri())
            while browser.execute_script("return document.documentElement.dataset.ready") != "yes":
                time.sleep(0.1)
            browser.execute_script("$('joint').value = 'ankle'; draw(); go(2.6, true)")
            time.sleep(2)
            picture = Path(folder) / "page.png"
            browser.save_screenshot(str(picture))
        finally:
            browser.quit()
        out = DOCS / "report.jpg"
        cv2.imwrite(str(out), cv2.imread(str(picture)), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
