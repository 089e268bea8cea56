import { expect, test } from "vitest";
import { proof } from "./proof";

test("a proven list says that nothing is missing", () => {
	expect(proof({ exact: true, completeAbove: 0.9, totalCount: 1_200 })).toBe(
		"Proven: none of the 1,200 candidate layers that are not listed is more similar than these.",
	);
});

test("a list that is proven in part says down to which score it is complete", () => {
	expect(proof({ exact: false, completeAbove: 0.61239, totalCount: 1 })).toBe(
		"Of the 1 candidate layer, all with a score above 0.612 are listed; below it, some may be missing.",
	);
});

test("a list without a proof says that better layers may be missing", () => {
	expect(proof({ exact: false, completeAbove: null, totalCount: 30_000 })).toBe(
		"Of the 30,000 candidate layers, some that are more similar may be missing.",
	);
});

test("the number of candidates may be unknown", () => {
	expect(proof({ exact: true, completeAbove: -1 })).toBe(
		"Proven: none of the candidate layers that are not listed is more similar than these.",
	);
});
