/** How many images of a class two versions take for another. */
export interface Confusion {
	actual: number;
	predicted: number;
	a: number;
	b: number;
}

/** The most cells that are listed. */
const MOST = 20;

type Matrix = readonly (readonly number[])[];

/** The cells outside the diagonal in which two confusion matrices differ, the largest differences first. */
export function confusions(a: Matrix, b: Matrix): Confusion[] {
	const cells = a.flatMap((row, actual) =>
		row.map((count, predicted) => ({ actual, predicted, a: count, b: b[actual]?.[predicted] ?? 0 })),
	);
	return cells
		.filter(({ actual, predicted, a, b }) => actual !== predicted && a !== b)
		.sort((x, y) => Math.abs(y.b - y.a) - Math.abs(x.b - x.a))
		.slice(0, MOST);
}
