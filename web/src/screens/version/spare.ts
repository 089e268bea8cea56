interface Layer {
	kind: string;
	parameterCount: number;
}

/** Kinds that have parameters, but change little of what they read by design. */
const SMALL_CHANGE = /norm|^prelu$|^scale$/i;

/**
 * The pairs of which the second layer may be spare. One that normalises, or that has nothing to learn, such as an activation or a sum, is
 * meant to stay close to what it reads.
 */
export function spare<Pair extends { otherLayer: Layer }>(pairs: readonly Pair[]): Pair[] {
	return pairs.filter(({ otherLayer: { kind, parameterCount } }) => parameterCount > 0 && !SMALL_CHANGE.test(kind));
}
