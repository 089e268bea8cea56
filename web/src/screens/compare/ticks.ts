/** The fewest pixels that a name takes across its direction. */
const LINE = 15;

/** The most characters of a name. */
const CHARACTERS = 14;

/** The layers that an axis names: all of them where there is room, else every second, fifth, tenth and so on. */
export function ticks(count: number, pixels: number): number[] {
	const step = STEPS.find((step) => (step * pixels) / count >= LINE) ?? count;
	return Array.from({ length: Math.ceil(count / step) }, (_, tick) => tick * step);
}

const STEPS = [1, 10, 100, 1_000].flatMap((power) => [power, 2 * power, 5 * power]);

/** A name that fits to an axis. A long one loses its start, which layers of a block have in common. */
export function shortened(name: string): string {
	return name.length > CHARACTERS ? `…${name.slice(1 - CHARACTERS)}` : name;
}
