import { expect, test } from "vitest";
import { parseVersionName } from "./versionName";

test("a model and a number name a version, a model alone its latest", () => {
	expect(parseVersionName("plain-1:12")).toEqual({ model: "plain-1", number: 12 });
	expect(parseVersionName(" plain ")).toEqual({ model: "plain", number: null });
	expect(parseVersionName('with spaces/and "signs":3')).toEqual({ model: 'with spaces/and "signs"', number: 3 });
});

test("what names no version is none", () => {
	for (const text of ["", ":", ":3", "plain:", "plain:0", "plain:-1", "plain:x", "plain:1:2"]) {
		expect(parseVersionName(text), text).toBeNull();
	}
});
