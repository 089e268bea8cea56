// Unpacks Chromium, so that scripts that start at the same time find it.
import chromium from "@sparticuz/chromium";

await chromium.executablePath();
