import { expect, test } from "vitest";
import { compact, percent, shape, words } from "./format";

test("numbers are short and keep their meaning", () => {
	expect(compact(1_234_567)).toBe("1.23M");
	expect(compact(0)).toBe("0");
	expect(percent(0.98765)).toBe("98.8%");
	expect(percent(0)).toBe("0.0%");
	expect(percent(null)).toBe("–");
	expect(shape([16, 8, 8])).toBe("16 × 8 × 8");
});

test("names of the API become words", () => {
	expect(words("FIND_EXEMPLARS")).toBe("find exemplars");
});
