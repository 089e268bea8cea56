import { Graph, layout as place } from "@dagrejs/dagre";
import { parts } from "./parts";

/** What stands for the image among the inputs of a layer. */
export const IMAGE = -1;

export interface Vertex {
	index: number;
	inputs: readonly number[];
}

export interface Point {
	x: number;
	y: number;
}

interface Edge {
	from: number;
	to: number;
	/** Where its line runs, from one box to the other. */
	points: readonly Point[];
}

/** Where the layers of a network are drawn, in pixels: corners of boxes, by the indices of layers. */
export interface Layout {
	corners: ReadonlyMap<number, Point>;
	edges: readonly Edge[];
	width: number;
	height: number;
}

export const BOX = { width: 190, height: 50 };

/** Lays a network out from top to bottom, so that lines run around boxes. */
export function layout(layers: readonly Vertex[]): Layout {
	const corners = new Map<number, Point>();
	const edges: Edge[] = [];
	let [left, right, bottom] = [0, 0, 0];
	// Networks repeat themselves, and the same part has the same layout.
	const known = new Map<string, Layout>();
	for (const part of parts(vertices(layers))) {
		const first = part[0]?.index ?? 0;
		const counted = part.map(({ index, inputs }) => ({
			index: index - first,
			inputs: inputs.map((input) => input - first),
		}));
		const key = JSON.stringify(counted);
		const placed = known.get(key) ?? layoutOfPart(counted);
		known.set(key, placed);
		// A part begins with the last layer of the one before, which stays where it is.
		const [there, here] = [corners.get(first), placed.corners.get(0)];
		const shift = there && here ? { x: there.x - here.x, y: there.y - here.y } : { x: 0, y: 0 };
		const move = ({ x, y }: Point) => ({ x: x + shift.x, y: y + shift.y });
		for (const [index, corner] of placed.corners) corners.set(first + index, move(corner));
		for (const { from, to, points } of placed.edges) {
			edges.push({ from: first + from, to: first + to, points: points.map(move) });
		}
		left = Math.min(left, shift.x);
		right = Math.max(right, shift.x + placed.width);
		bottom = Math.max(bottom, shift.y + placed.height);
	}
	const move = ({ x, y }: Point) => ({ x: x - left, y });
	return {
		corners: new Map([...corners].map(([index, corner]) => [index, move(corner)])),
		edges: edges.map((edge) => ({ ...edge, points: edge.points.map(move) })),
		width: right - left,
		height: bottom,
	};
}

/** The layers, with the image before them if one reads it, and without inputs that are not among them. */
function vertices(layers: readonly Vertex[]): Vertex[] {
	const image = layers.some(({ inputs }) => inputs.includes(IMAGE)) ? [{ index: IMAGE, inputs: [] }] : [];
	const known = new Set([...image, ...layers].map(({ index }) => index));
	return [
		...image,
		...layers.map(({ index, inputs }) => ({ index, inputs: inputs.filter((input) => known.has(input)) })),
	];
}

function layoutOfPart(part: readonly Vertex[]): Layout {
	const graph = new Graph();
	graph.setGraph({ rankdir: "TB", ranksep: 30, nodesep: 24, edgesep: 16 });
	graph.setDefaultEdgeLabel(() => ({}));
	for (const { index } of part) graph.setNode(String(index), { ...BOX });
	for (const { index, inputs } of part) for (const input of inputs) graph.setEdge(String(input), String(index));
	place(graph);
	const corner = (name: string): readonly [number, Point] => {
		const { x = 0, y = 0 } = graph.node(name);
		return [Number(name), { x: x - BOX.width / 2, y: y - BOX.height / 2 }];
	};
	const { width = 0, height = 0 } = graph.graph();
	return {
		corners: new Map(graph.nodes().map(corner)),
		edges: graph.edges().map(({ v, w }) => ({ from: Number(v), to: Number(w), points: graph.edge(v, w).points })),
		width,
		height,
	};
}
