// Unpacks Chromium: `scripts/browser` does this once.
import chromium from "@sparticuz/chromium";

await chromium.executablePath();
