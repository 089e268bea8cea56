import { expect, test } from "vitest";
import { shortened, ticks } from "./ticks";

test("all layers are named where there is room", () => {
	expect(ticks(4, 100)).toEqual([0, 1, 2, 3]);
});

test("else every second, fifth or tenth is", () => {
	expect(ticks(5, 50)).toEqual([0, 2, 4]);
	expect(ticks(12, 40)).toEqual([0, 5, 10]);
	expect(ticks(200, 400)).toEqual(Array.from({ length: 20 }, (_, tick) => 10 * tick));
	expect(ticks(3, 0)).toEqual([0]);
});

test("a long name keeps its end", () => {
	expect(shortened("3.main.0")).toBe("3.main.0");
	expect(shortened("features.block1.conv2")).toBe("….block1.conv2");
});
