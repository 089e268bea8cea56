/** The operations of all layers, of which each has a share. At least 1, so that one can divide by it. */
export function totalOperations(layers: readonly { multiplyAccumulates: number }[]): number {
	return Math.max(
		1,
		layers.reduce((sum, { multiplyAccumulates }) => sum + multiplyAccumulates, 0),
	);
}
