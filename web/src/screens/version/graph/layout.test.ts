import { expect, test } from "vitest";
import { BOX, IMAGE, layout } from "./layout";

/** An image, a convolution, a branch of two, and their sum, which the last layer reads. */
const RESIDUAL = [
	{ index: 0, inputs: [IMAGE] },
	{ index: 1, inputs: [0] },
	{ index: 2, inputs: [1] },
	{ index: 3, inputs: [2, 0] },
	{ index: 4, inputs: [3] },
];

test("layers stand below what they read, and boxes do not overlap", () => {
	const { corners, width, height } = layout(RESIDUAL);
	const boxes = [...corners];
	expect(boxes.length).toBe(6);
	for (const { index, inputs } of RESIDUAL) {
		for (const input of inputs) {
			expect(corners.get(index)?.y).toBeGreaterThanOrEqual((corners.get(input)?.y ?? Number.NaN) + BOX.height);
		}
	}
	for (const [index, a] of boxes) {
		expect(a.x + BOX.width).toBeLessThanOrEqual(width);
		expect(a.y + BOX.height).toBeLessThanOrEqual(height);
		for (const [other, b] of boxes) {
			const isApart = Math.abs(a.x - b.x) >= BOX.width || Math.abs(a.y - b.y) >= BOX.height;
			expect(index === other || isApart).toBe(true);
		}
	}
});

test("a line past other layers runs around their boxes", () => {
	const { corners, edges } = layout(RESIDUAL);
	const shortcut = edges.find(({ from, to }) => from === 0 && to === 3);
	expect(shortcut?.points.length).toBeGreaterThan(2);
	const passed = corners.get(1) ?? { x: Number.NaN, y: Number.NaN };
	const beside = shortcut?.points.filter(({ y }) => y > passed.y && y < passed.y + BOX.height) ?? [];
	for (const { x } of beside) expect(x < passed.x || x > passed.x + BOX.width).toBe(true);
});

test("a layer that reads nothing has a box of its own, and one that reads what is not there has no line", () => {
	const { corners, edges } = layout([
		{ index: 0, inputs: [] },
		{ index: 1, inputs: [7] },
	]);
	expect([...corners.keys()]).toEqual([0, 1]);
	expect(edges).toEqual([]);
});

test("a network of thousands of layers is laid out in parts, one below the other", () => {
	const layers = Array.from({ length: 500 }, (_, block) => {
		const first = 4 * block;
		const inputs = [[first - 1], [first], [first + 1], [first + 2, first - 1]];
		return inputs.map((inputs, place) => ({ index: first + place, inputs }));
	}).flat();
	const { corners, edges, width, height } = layout(layers);
	expect(corners.size).toBe(2_001);
	expect(edges.length).toBe(2_500);
	const last = corners.get(1_999) ?? { x: Number.NaN, y: Number.NaN };
	expect(last.y).toBe(Math.max(...[...corners.values()].map(({ y }) => y)));
	expect(last.y + BOX.height).toBe(height);
	for (const { index, inputs } of layers) {
		const { x, y } = corners.get(index) ?? { x: Number.NaN, y: Number.NaN };
		expect(x).toBeGreaterThanOrEqual(0);
		expect(x + BOX.width).toBeLessThanOrEqual(width);
		for (const input of inputs) expect(y).toBeGreaterThanOrEqual((corners.get(input)?.y ?? Number.NaN) + BOX.height);
	}
	// A line ends where the layer is that reads it.
	for (const { to, points } of edges) {
		const { x, y } = corners.get(to) ?? { x: Number.NaN, y: Number.NaN };
		expect(points.at(-1)?.y).toBeCloseTo(y);
		expect(Math.abs((points.at(-1)?.x ?? Number.NaN) - x - BOX.width / 2)).toBeLessThanOrEqual(BOX.width / 2);
	}
});
