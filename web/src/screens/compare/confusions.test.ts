import { expect, test } from "vitest";
import { confusions } from "./confusions";

test("mistakes that differ come first where they differ most", () => {
	const a = [
		[9, 1, 0],
		[2, 8, 0],
		[0, 0, 10],
	];
	const b = [
		[5, 1, 4],
		[3, 7, 0],
		[0, 0, 10],
	];
	expect(confusions(a, b)).toEqual([
		{ actual: 0, predicted: 2, a: 0, b: 4 },
		{ actual: 1, predicted: 0, a: 2, b: 3 },
	]);
	expect(confusions(a, a)).toEqual([]);
});
