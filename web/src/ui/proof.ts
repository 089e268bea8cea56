import { integer, score } from "./format";

/** What the server has proven of a list of hits. */
interface Proof {
	exact: boolean;
	completeAbove?: number | null;
	/** Number of candidates, if it is known. */
	totalCount?: number;
}

/** What is proven of a list of hits, in words. */
export function proof({ exact, completeAbove, totalCount }: Proof): string {
	const count = totalCount === undefined ? "" : `${integer(totalCount)} `;
	const candidates = `${count}candidate ${totalCount === 1 ? "layer" : "layers"}`;
	if (exact) return `Proven: none of the ${candidates} that are not listed is more similar than these.`;
	if (completeAbove != null) {
		return `Of the ${candidates}, all with a score above ${score(completeAbove)} are listed; below it, some may be missing.`;
	}
	return `Of the ${candidates}, some that are more similar may be missing.`;
}
