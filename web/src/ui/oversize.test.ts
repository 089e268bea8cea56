import { expect, test } from "vitest";
import { oversize } from "./oversize";

test("a file above the limit is refused, with both sizes", () => {
	expect(oversize({ name: "big.npz", size: 3 * 2 ** 30 }, 2 ** 30)).toBe(
		"big.npz is too large: it has 3 GiB, and this server takes at most 1 GiB. Nothing was sent.",
	);
});

test("a file within the limit is not, nor is any as long as the limit is unknown", () => {
	expect(oversize({ name: "fits.npz", size: 2 ** 30 }, 2 ** 30)).toBeNull();
	expect(oversize({ name: "big.npz", size: 3 * 2 ** 30 }, undefined)).toBeNull();
});
