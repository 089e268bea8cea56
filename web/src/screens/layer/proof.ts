import { integer, score } from "../../ui/format";

/** What the server has proven of a list of hits. */
interface Proof {
	exact: boolean;
	completeAbove?: number | null;
	totalCount: number;
}

/** What is proven of a list of hits, in words. */
export function proof({ exact, completeAbove, totalCount }: Proof): string {
	const candidates = `${integer(totalCount)} candidate ${totalCount === 1 ? "layer" : "layers"}`;
	if (exact) return `Proven: none of the ${candidates} that are not listed is more similar than these.`;
	if (completeAbove != null) {
		return `Of ${candidates}, all with a score above ${score(completeAbove)} are listed; below it, some may be missing.`;
	}
	return `Of ${candidates}, some that are more similar may be missing.`;
}
