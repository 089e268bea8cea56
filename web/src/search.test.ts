import { expect, test } from "vitest";
import * as search from "./search";

test("a screen keeps what its address says", () => {
	expect(search.layer({ measure: "CKA", minAccuracy: 0.9, kind: "Conv2d", ownModel: true })).toEqual({
		measure: "CKA",
		minAccuracy: 0.9,
		kind: "Conv2d",
		ownModel: true,
	});
	expect(search.compare({ a: "plain:1", b: "wide", tab: "structure", measure: "CKA" })).toEqual({
		a: "plain:1",
		b: "wide",
		tab: "structure",
		measure: "CKA",
	});
	expect(search.version({ tab: "evaluation", actual: 0, predicted: 7 })).toEqual({
		tab: "evaluation",
		actual: 0,
		predicted: 7,
	});
});

test("what an address has wrongly is left out, and the rest is kept", () => {
	expect(search.layer({ measure: "COSINE", minAccuracy: 90, kind: "", ownModel: "yes", image: -1, more: 1 })).toEqual(
		{},
	);
	expect(search.compare({ a: "plain", b: ["wide"], row: 1.5, column: 2 })).toEqual({ a: "plain", column: 2 });
	expect(search.jobs({ status: "LOST" })).toEqual({});
	expect(search.ask({ measure: "COSINE", probeSet: "" })).toEqual({});
});

test("a name that looks like a number is a name", () => {
	expect(search.library({ name: 7 })).toEqual({ name: "7" });
});
