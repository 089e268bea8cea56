import { expect, test } from "vitest";
import { bytes, compact, percent, shape, signed, words } from "./format";

test("numbers are short and keep their meaning", () => {
	expect(compact(1_234_567)).toBe("1.23M");
	expect(compact(0)).toBe("0");
	expect(percent(0.98765)).toBe("98.8%");
	expect(percent(0)).toBe("0.0%");
	expect(percent(null)).toBe("–");
	expect(shape([16, 8, 8])).toBe("16 × 8 × 8");
});

test("sizes are in powers of 1,024", () => {
	expect(bytes(0)).toBe("0 bytes");
	expect(bytes(1_536)).toBe("1.5 KiB");
	expect(bytes(2 ** 30)).toBe("1 GiB");
});

test("a difference has a sign", () => {
	expect(signed(1.25, 1)).toBe("+1.3");
	expect(signed(-0.0421, 3)).toBe("−0.042");
	expect(signed(-0.0004, 3)).toBe("±0.000");
});

test("names of the API become words", () => {
	expect(words("FIND_EXEMPLARS")).toBe("find exemplars");
});
