import { Graph, layout as place } from "@dagrejs/dagre";

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
	const graph = new Graph();
	graph.setGraph({ rankdir: "TB", ranksep: 30, nodesep: 24, edgesep: 16 });
	graph.setDefaultEdgeLabel(() => ({}));
	const known = new Set([IMAGE, ...layers.map(({ index }) => index)]);
	for (const { index, inputs } of layers) {
		graph.setNode(String(index), { ...BOX });
		for (const input of inputs) {
			if (!known.has(input)) continue;
			if (input === IMAGE) graph.setNode(String(IMAGE), { ...BOX });
			graph.setEdge(String(input), String(index));
		}
	}
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
