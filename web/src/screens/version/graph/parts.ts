import type { Vertex } from "./layout";

/**
 * How many layers a part has at least. In a part of more than five hundred, one below the other, the library that lays it out calls
 * itself too often.
 */
const LEAST = 20;

/**
 * The parts of a network that can be laid out one below the other. All paths run through the layer between two parts, which is the
 * last one of the one and the first one of the other.
 */
export function parts(vertices: readonly Vertex[]): Vertex[][] {
	const lastReader = new Map<number, number>();
	for (const { index, inputs } of vertices) for (const input of inputs) lastReader.set(input, index);
	const lastSource = vertices.findLastIndex(({ inputs }) => inputs.length === 0);
	const parts: Vertex[][] = [];
	let part: Vertex[] = [];
	// The last layer that reads one of the part. What nobody reads stands below all, so no other part can follow.
	let reach = Number.NEGATIVE_INFINITY;
	for (const [place, vertex] of vertices.entries()) {
		part.push(vertex);
		if (part.length >= LEAST && place >= lastSource && place < vertices.length - 1 && reach <= vertex.index) {
			parts.push(part);
			part = [{ ...vertex, inputs: [] }];
			reach = Number.NEGATIVE_INFINITY;
		}
		reach = Math.max(reach, lastReader.get(vertex.index) ?? Number.POSITIVE_INFINITY);
	}
	return [...parts, part];
}
