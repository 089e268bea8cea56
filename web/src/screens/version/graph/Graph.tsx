import {
	BaseEdge,
	Controls,
	type Edge,
	type EdgeProps,
	Handle,
	MiniMap,
	type Node,
	type NodeHandle,
	type NodeProps,
	Position,
	ReactFlow,
	type ReactFlowInstance,
} from "@xyflow/react";
import { useMemo } from "react";
import { Empty, Skeleton } from "../../../ui/Answer";
import { BOX, type Layout, type Point } from "./layout";
import { useLayout } from "./useLayout";
import "@xyflow/react/dist/base.css";
import "./Graph.css";

export interface GraphLayer {
	index: number;
	name: string;
	kind: string;
	inputs: readonly number[];
	/** Its share of the operations of the most expensive layer, 0 to 1. */
	cost: number;
	output: string;
}

interface GraphProps {
	layers: readonly GraphLayer[];
	/** The index of the selected layer. */
	selected: number | undefined;
	onSelect: (index: number) => void;
}

type Box = Node<{ layer: GraphLayer | null; isSelected: boolean; onSelect: (index: number) => void }>;
type Line = Edge<{ points: readonly Point[] }>;

/** So many boxes are seen at a glance. */
const MOST_WITHOUT_MAP = 30;

const MARGIN = 16;

/** The layers of a network and what each reads, from top to bottom. */
export default function Graph(props: GraphProps) {
	const layout = useLayout(props.layers);
	if (!layout) return <Skeleton rows={10} />;
	return layout instanceof Error ? <Empty>{layout.message}</Empty> : <Drawing {...props} layout={layout} />;
}

function Drawing({ layout, layers, selected, onSelect }: GraphProps & { layout: Layout }) {
	const drawing = useMemo(
		() => ({ nodes: boxes(layout, { layers, selected, onSelect }), edges: lines(layout) }),
		[layout, layers, selected, onSelect],
	);
	const open = (flow: ReactFlowInstance<Box, Line>) => {
		const place = document.querySelector(".graph")?.clientWidth ?? layout.width;
		const zoom = Math.min(1, Math.max(0.5, (place - 2 * MARGIN) / layout.width));
		const corner = selected === undefined ? undefined : layout.corners.get(selected);
		const top = corner && corner.y > 300 ? 200 - corner.y * zoom : MARGIN;
		void flow.setViewport({ x: (place - layout.width * zoom) / 2, y: top, zoom });
	};
	return (
		<section
			className="graph"
			aria-label="Graph of the network"
			style={{ height: `min(75vh, ${layout.height + 3 * MARGIN}px)` }}
		>
			<ReactFlow
				nodes={drawing.nodes}
				edges={drawing.edges}
				nodeTypes={NODE_TYPES}
				edgeTypes={EDGE_TYPES}
				onInit={open}
				minZoom={0.05}
				maxZoom={1.5}
				nodesDraggable={false}
				nodesConnectable={false}
				nodesFocusable={false}
				edgesFocusable={false}
				elementsSelectable={false}
				onlyRenderVisibleElements
				// The wheel scrolls the page; with Ctrl it zooms.
				zoomOnScroll={false}
				preventScrolling={false}
				proOptions={{ hideAttribution: true }}
			>
				<Controls showInteractive={false} position="top-right" />
				{layers.length > MOST_WITHOUT_MAP && (
					<MiniMap pannable zoomable ariaLabel="The whole network in small" position="bottom-right" />
				)}
			</ReactFlow>
		</section>
	);
}

/** Where lines end at a box. */
const HANDLES: NodeHandle[] = [
	{ type: "target", position: Position.Top, x: BOX.width / 2, y: 0 },
	{ type: "source", position: Position.Bottom, x: BOX.width / 2, y: BOX.height },
];

const NODE_TYPES = { layer: LayerBox };
const EDGE_TYPES = { line: LineThrough };

function boxes(layout: Layout, { layers, selected, onSelect }: GraphProps): Box[] {
	const byIndex = new Map(layers.map((layer) => [layer.index, layer]));
	return [...layout.corners].map(([index, position]) => ({
		id: String(index),
		type: "layer",
		position,
		...BOX,
		// With both, the library draws none but the boxes in view; without, all of them once, to measure them.
		measured: BOX,
		handles: HANDLES,
		data: { layer: byIndex.get(index) ?? null, isSelected: index === selected, onSelect },
	}));
}

function lines(layout: Layout): Line[] {
	return layout.edges.map(({ from, to, points }) => ({
		id: `${from}-${to}`,
		type: "line",
		source: String(from),
		target: String(to),
		data: { points },
	}));
}

function LayerBox({ data: { layer, isSelected, onSelect } }: NodeProps<Box>) {
	return (
		<>
			{layer?.inputs.length !== 0 && <Handle type="target" position={Position.Top} isConnectable={false} />}
			{layer ? (
				<button
					type="button"
					className="graph-box nopan"
					aria-pressed={isSelected}
					onClick={() => onSelect(layer.index)}
					style={BOX}
				>
					<span className="graph-kind">{layer.kind}</span>
					<bdi className="graph-name">{layer.name}</bdi>
					<span className="graph-shape">{layer.output}</span>
					<span className="graph-cost" style={{ width: `${100 * layer.cost}%` }} />
				</button>
			) : (
				<span className="graph-box graph-image" style={BOX}>
					Image
				</span>
			)}
			<Handle type="source" position={Position.Bottom} isConnectable={false} />
		</>
	);
}

/** A line through the points that the layout gave it, rounded between them. */
function LineThrough({ id, data }: EdgeProps<Line>) {
	return <BaseEdge id={id} path={path(data?.points ?? [])} />;
}

function path([first, ...others]: readonly Point[]): string {
	if (!first) return "";
	const curves = others.map((point, index) => {
		const next = others[index + 1];
		const end = next ? { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 } : point;
		return `Q ${point.x} ${point.y} ${end.x} ${end.y}`;
	});
	return `M ${first.x} ${first.y} ${curves.join(" ")}`;
}
