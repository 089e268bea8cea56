import { expect, test } from "vitest";
import { comparison, toggled } from "./marks";

test("a mark is set, and taken away by the same act", () => {
	expect(toggled([], "plain:1")).toEqual(["plain:1"]);
	expect(toggled(["plain:1", "wide:1"], "plain:1")).toEqual(["wide:1"]);
});

test("a third mark takes the place of the oldest", () => {
	expect(toggled(["plain:1", "wide:1"], "wide:2")).toEqual(["wide:1", "wide:2"]);
});

test("two marks can be compared, in their order", () => {
	expect(comparison(["wide:1"])).toBeNull();
	expect(comparison(["wide:1", "plain:1"])?.search).toEqual({ a: "wide:1", b: "plain:1" });
});
