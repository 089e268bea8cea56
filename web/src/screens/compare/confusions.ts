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
	const cells: Confusion[] = [];
	for (const [actual, row] of a.entries()) {
		for (const [predicted, count] of row.entries()) {
			const other = b[actual]?.[predicted] ?? 0;
			if (actual !== predicted && count !== other) cells.push({ actual, predicted, a: count, b: other });
		}
	}
	return cells.sort((x, y) => Math.abs(y.b - y.a) - Math.abs(x.b - x.a)).slice(0, MOST);
}
