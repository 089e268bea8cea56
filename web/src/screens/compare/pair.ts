import type { FoundVersion } from "../../ui/NamedVersion";

/** Two versions that are compared. */
export interface Pair {
	a: FoundVersion;
	b: FoundVersion;
}

/** What a version is called on an axis and over a column. */
export function shortName({ model, number }: FoundVersion): string {
	return `${model}:${number}`;
}
